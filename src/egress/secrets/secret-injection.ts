import type { Duplex } from 'node:stream';
import type { Binding } from '../../secrets/binding.ts';
import { ScrubStream } from '../../secrets/scrubbing/scrub-stream.ts';
import { Scrubber } from '../../secrets/scrubbing/scrubber.ts';
import type { AnswerKind, HeaderList, Injection } from '../injector.ts';
import { cleanHeaders, encodingsOf } from './answer-headers.ts';
import { decoding } from './decoding.ts';
import { FrameScrub } from './frame-scrub.ts';

/** A place of a request, and the secret that fills it. */
export interface FilledPlace {
  readonly name: string;
  readonly value: string;
  /** Values that it had before, which may still be valid. */
  readonly earlier: readonly string[];
  readonly binding: Binding;
}

interface InjectionOptions {
  readonly host: string;
  readonly isPlain: boolean;
  readonly port: number;
  readonly filled: readonly FilledPlace[];
}

/**
 * Headers that code cannot send together with a secret. Parts of an answer could each hold a part of an echo of it, and
 * a compressed answer could not be searched.
 */
const NOT_WITH_SECRETS = new Set(['accept-encoding', 'range', 'if-range', 'sec-websocket-extensions', 'te']);

/** Secrets for requests to one host, as they were at one moment. */
export class SecretInjection implements Injection {
  readonly isPlain: boolean;
  readonly port: number;
  readonly names: readonly string[];
  readonly #host: string;
  readonly #headers: HeaderList;
  readonly #queries: readonly (readonly [name: string, value: string])[];
  readonly #scrubber: Scrubber;

  constructor({ host, isPlain, port, filled }: InjectionOptions) {
    this.isPlain = isPlain;
    this.port = port;
    this.names = [...new Set(filled.map(({ name }) => name))];
    this.#host = host;
    this.#headers = filled.flatMap(({ binding, value }) => headerOf(binding, value));
    this.#queries = filled.flatMap(({ binding, value }) =>
      'query' in binding ? [[binding.query, value] as const] : [],
    );
    this.#scrubber = new Scrubber(
      filled.flatMap(({ name, value, earlier, binding }) =>
        [value, ...earlier]
          .flatMap((each) => spellings(binding, each))
          .map((each) => ({ value: each, label: `[secret ${name}]` })),
      ),
    );
  }

  apply(headers: HeaderList, target: string): { headers: HeaderList; target: string } {
    const filled = new Set(this.#headers.map(([name]) => name.toLowerCase()));
    const kept = headers.filter(([name]) => {
      const lower = name.toLowerCase();
      return !(filled.has(lower) || NOT_WITH_SECRETS.has(lower));
    });
    return {
      headers: [...kept, ...this.#headers, ['Accept-Encoding', 'identity']],
      target: this.#queries.reduce((before, [name, value]) => withParameter(before, name, value), target),
    };
  }

  scrub(headers: HeaderList, kind: AnswerKind = 'body'): { headers: HeaderList; body: Duplex } {
    const scrubber = this.#scrubber;
    const clean = cleanHeaders(headers, { kind, scrubber, host: this.#host, port: this.port, isPlain: this.isPlain });
    if (kind === 'upgrade') return { headers: clean, body: new FrameScrub(scrubber) };
    const body = new ScrubStream(scrubber, 'label');
    return { headers: clean, body: kind === 'head' ? body : decoding(encodingsOf(headers), body) };
  }

  scrubText(text: string): string {
    return this.#scrubber.header(text);
  }
}

function headerOf(binding: Binding, value: string): [string, string][] {
  if ('query' in binding) return [];
  if ('basic' in binding) return [['Authorization', `Basic ${basicOf(binding.basic, value)}`]];
  return [[binding.header, binding.as.replace('{}', () => value)]];
}

function basicOf(user: string, password: string): string {
  return Buffer.from(`${user}:${password}`).toString('base64');
}

/** What of a secret is looked for besides itself: what was made of it, and what it was made of. */
function spellings(binding: Binding, value: string): string[] {
  if ('basic' in binding) return [value, basicOf(binding.basic, value)];
  const decoded = Buffer.from(value, 'base64').toString('latin1');
  // User and password, which somebody has encoded beforehand.
  if (!/^[A-Za-z0-9+/]{8,}={0,2}$/.test(value) || !/^[\x20-\x7e]*:[\x20-\x7e]*$/.test(decoded)) return [value];
  return [value, decoded, decoded.slice(decoded.indexOf(':') + 1)];
}

/** A target whose query has a parameter once, with a value. */
function withParameter(target: string, name: string, value: string): string {
  if (target === '*') return target;
  const [whole = ''] = target.split('#', 1);
  const at = whole.indexOf('?');
  const path = at < 0 ? whole : whole.slice(0, at);
  const others = (at < 0 ? '' : whole.slice(at + 1)).split('&').filter((part) => part !== '' && !isNamed(part, name));
  return `${path}?${[...others, `${encodeURIComponent(name)}=${encodeURIComponent(value)}`].join('&')}`;
}

function isNamed(part: string, name: string): boolean {
  return [...new URLSearchParams(part).keys()].includes(name);
}
