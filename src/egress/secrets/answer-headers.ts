import { bareHost } from '../../secrets/binding.ts';
import type { Scrubber } from '../../secrets/scrubbing/scrubber.ts';
import type { AnswerKind, HeaderList } from '../injector.ts';

interface AnswerOptions {
  readonly kind: AnswerKind;
  readonly scrubber: Scrubber;
  /** Host and port that the request has gone to, and whether that was without TLS. */
  readonly host: string;
  readonly port: number;
  readonly isPlain: boolean;
}

/** What is not true any more of a body that was searched. */
const OF_THE_BODY = new Set([
  ...['content-length', 'content-encoding', 'content-md5', 'content-digest', 'repr-digest', 'digest', 'accept-ranges'],
]);
/** What would have clients ask by TLS, where no secret is added. */
const TLS_ONLY = new Set(['strict-transport-security', 'alt-svc']);
/** Addresses of what to ask next. */
const ADDRESSES = new Set(['location', 'content-location', 'link']);

/** The encodings of a body, the last one first. None of one that is empty. */
export function encodingsOf(headers: HeaderList): string[] {
  if (headers.some(([name, value]) => name.toLowerCase() === 'content-length' && Number(value) === 0)) return [];
  // The whole answer may be encoded for its transfer, of which only "chunked" is undone by Node.
  const transfer = codingsIn(headers, 'transfer-encoding').filter((coding) => coding !== 'chunked');
  return [...codingsIn(headers, 'content-encoding'), ...transfer].toReversed();
}

function codingsIn(headers: HeaderList, header: string): string[] {
  return headers
    .filter(([name]) => name.toLowerCase() === header)
    .flatMap(([, value]) => value.toLowerCase().split(','))
    .map((coding) => coding.trim())
    .filter((coding) => coding !== '' && coding !== 'identity');
}

/** Headers of an answer without secrets, whose addresses lead to where secrets are added. */
export function cleanHeaders(headers: HeaderList, options: AnswerOptions): HeaderList {
  const { kind, scrubber } = options;
  return headers.flatMap(([name, value]): HeaderList => {
    const lower = name.toLowerCase();
    // No header can be named as what stands in the place of a secret.
    if (TLS_ONLY.has(lower) || scrubber.header(name) !== name) return [];
    if (kind === 'body' && OF_THE_BODY.has(lower)) return [];
    const clean = scrubber.header(value);
    return [[name, ADDRESSES.has(lower) && !options.isPlain ? throughProxy(clean, options) : clean]];
  });
}

/** Addresses of the same host by TLS become such as the code has asked for. */
function throughProxy(value: string, { host, port }: AnswerOptions): string {
  return value.replace(/(^|<)https:\/\/([^/?#\\>@\s]+)(?=[/?#>]|$)/gi, (whole, before: string, authority: string) => {
    const url = URL.parse(`https://${authority}`);
    const isSame = url && bareHost(url.hostname) === host && Number(url.port || 443) === port;
    return isSame ? `${before}http://${authority.replace(/:443$/, '')}` : whole;
  });
}
