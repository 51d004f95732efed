import type { IncomingMessage, OutgoingHttpHeaders } from 'node:http';
import { FORWARDED_HEADER } from '../../peers/word.ts';
import { GIVEN_UP_HEADER } from './given-up.ts';

/** Headers of one connection, and those that say who the caller is: the other control plane is told by other means. */
const NOT_PASSED: ReadonlySet<string> = new Set([
  ...['connection', 'keep-alive', 'proxy-connection', 'te', 'trailer', 'transfer-encoding', 'upgrade', 'expect'],
  ...['authorization', 'proxy-authorization', 'cookie', 'x-api-key', 'origin'],
  ...[FORWARDED_HEADER, GIVEN_UP_HEADER],
]);
const KEY_PROTOCOL = 'glovebox.key.';

/** The headers of a request for another control plane. */
export function headersToPass(headers: Headers): OutgoingHttpHeaders {
  const passed: OutgoingHttpHeaders = {};
  for (const [name, value] of headers) if (!NOT_PASSED.has(name)) passed[name] = value;
  const protocols = headers.get('sec-websocket-protocol');
  if (protocols !== null) {
    const offered = protocols.split(',').map((protocol) => protocol.trim());
    const kept = offered.filter((protocol) => !protocol.startsWith(KEY_PROTOCOL));
    if (kept.length > 0) passed['sec-websocket-protocol'] = kept.join(', ');
    else delete passed['sec-websocket-protocol'];
  }
  return passed;
}

/** The headers of the answer of another control plane. */
export function headersOf({ rawHeaders }: IncomingMessage): Headers {
  const headers = new Headers();
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const [name = '', value = ''] = [rawHeaders[at], rawHeaders[at + 1]];
    const lower = name.toLowerCase();
    if (!NOT_PASSED.has(lower) && lower !== 'date') headers.append(name, value);
  }
  return headers;
}
