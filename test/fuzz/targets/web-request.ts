import { deepEqual, ok } from 'node:assert/strict';
import { type Duplex, duplexPair } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import { Registry } from 'prom-client';
import { WebGrants } from '../../../src/egress/grants.ts';
import type { Connector } from '../../../src/egress/outgoing/connector.ts';
import type { Destination } from '../../../src/egress/outgoing/destination.ts';
import { WebPolicy } from '../../../src/egress/policy/policy.ts';
import { WebProxy } from '../../../src/egress/proxy/web-proxy.ts';
import { WebMetrics } from '../../../src/egress/web-metrics.ts';
import { createLog } from '../../../src/log.ts';
import { cut, type Target } from '../target.ts';

const HOSTS = ['api.example', 'x.api.example'];
/** Turns of the event loop in which all that an input causes has happened. */
const TURNS = 12;
// Only a socket can wait for another request.
const ANSWER = 'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok';
/** Stands for the header with the token in inputs. */
const TOKEN = '$T';

/** What a host was sent on one connection. */
interface Sent {
  readonly destination: Destination;
  bytes: string;
}

let sent: Sent[] = [];
let errors: string[] = [];
const log = createLog('error', (line) => errors.push(line));
const bounds = { bytes: 2 ** 20, connections: 64, connectionsPerOwner: 256, idleMs: 60_000 };
const policy = new WebPolicy(['api.example', '*.api.example']);
const grants = new WebGrants({ policy, bounds, metrics: new WebMetrics(new Registry()), log });
const grant = grants.open({ owner: 'alice', sessionId: 's', executionId: 'e' });
const header = `Proxy-Authorization: Basic ${Buffer.from(`glovebox:${grant?.token}`).toString('base64')}`;

const connector: Pick<Connector, 'open' | 'openProxy' | 'plainProxy' | 'checkPlain'> = {
  plainProxy: () => undefined,
  checkPlain: async () => {},
  openProxy: async () => {
    throw new Error('there is no proxy');
  },
  open: async (destination) => answering(destination) as Awaited<ReturnType<Connector['open']>>,
};

/** A host that answers the first request of a connection, and sends nothing else. */
function answering(destination: Destination): Duplex {
  const [near, far] = duplexPair();
  const about: Sent = { destination, bytes: '' };
  sent.push(about);
  far.on('error', () => {});
  far.on('data', (chunk: Buffer) => {
    const before = about.bytes;
    about.bytes += chunk.toString('latin1');
    if (!before.includes('\r\n\r\n') && about.bytes.includes('\r\n\r\n')) far.end(ANSWER);
  });
  return near;
}

/** Requests of code to the proxy: whatever the code sends, hosts that are allowed get one request that cannot be misread. */
export const webRequest: Target = {
  name: 'web-request',
  longest: 8 * 1024,
  words: [
    ...['GET ', 'POST ', 'CONNECT ', 'TRACE ', 'http://', 'https://', 'api.example', 'x.api.example', 'evil.example'],
    ...[
      ':80',
      ':443',
      ':22',
      ' HTTP/1.1\r\n',
      ' HTTP/1.0\r\n',
      'Host: ',
      '\r\n',
      '\r\n\r\n',
      '\n',
      '\r',
      '\t',
      ' ',
      '@',
      '\\',
    ],
    ...[
      'Content-Length: 5\r\n',
      'Transfer-Encoding: chunked\r\n',
      'Transfer-Encoding:',
      '5\r\nabcde\r\n',
      '0\r\n\r\n',
      ';x=y',
    ],
    ...[
      'Connection: close\r\n',
      'Connection: Upgrade\r\nUpgrade: websocket\r\n',
      'Expect: 100-continue\r\n',
      `${TOKEN}\r\n`,
    ],
    ...[
      '[::1]',
      '127.0.0.1',
      '2130706433',
      '%2e',
      '?',
      '#',
      '/../',
      Buffer.from([0]),
      Buffer.from([0xff]),
      Buffer.from([0x0b]),
    ],
  ],
  async run(input) {
    sent = [];
    errors = [];
    const proxy = new WebProxy({ grants, connector: connector as Connector, injector: undefined, bounds, log });
    const [near, far] = duplexPair();
    near.on('error', () => {});
    near.resume();
    proxy.connect(far, { owner: 'alice', id: 's' });
    const text = Buffer.from(input.toString('latin1').replaceAll(TOKEN, header), 'latin1');
    for (const piece of cut(text)) if (!near.destroyed) near.write(piece);
    for (let turn = 0; turn < TURNS; turn += 1) await setImmediate();
    near.destroy();
    proxy[Symbol.dispose]();
    for (let turn = 0; turn < 3; turn += 1) await setImmediate();
    deepEqual(errors, [], 'an input that fills the log');
    for (const one of sent) check(one);
  },
};

function check({ destination: { host, port, isHalfOpen }, bytes }: Sent): void {
  ok(
    HOSTS.some((name) => host === name || host.endsWith('.api.example')),
    `a connection to ${host}`,
  );
  ok([80, 443].includes(port), `a connection to port ${port}`);
  if (isHalfOpen || bytes === '') return;
  const end = bytes.indexOf('\r\n\r\n');
  if (end < 0) return;
  const [line = '', ...lines] = bytes.slice(0, end).split('\r\n');
  ok(/^[A-Z-]+ \/[\x21-\xff]* HTTP\/1\.1$/.test(line), `a request line that can be misread: ${line}`);
  for (const text of lines)
    ok(/^[!#$%&'*+.^_`|~\w-]+: ?[\t\x20-\xff]*$/.test(text), `a header that can be misread: ${text}`);
  const values = (name: string) =>
    lines.filter((text) => text.toLowerCase().startsWith(`${name}:`)).map((text) => text.slice(name.length + 1).trim());
  deepEqual(values('host'), [port === 80 ? host : `${host}:${port}`]);
  deepEqual(values('proxy-authorization'), []);
  const framing = [...values('content-length'), ...values('transfer-encoding')];
  ok(framing.length <= 1, 'a body of two lengths');
  const body = bytes.slice(end + 4);
  if (/websocket/i.test(values('upgrade').join())) return;
  const [length] = values('content-length');
  if (length !== undefined)
    ok(/^\d+$/.test(length) && body.length <= Number(length), 'more than the body that was told');
  else if (framing.length > 0) ok(isChunked(body), 'something that is no chunk');
  else ok(body === '', 'a body that was not told');
}

/** Whether a text is the beginning of a body in chunks, and has nothing after its end. */
function isChunked(text: string): boolean {
  for (let at = 0; ; ) {
    const head = /^([0-9a-f]+)\r\n/i.exec(text.slice(at));
    if (!head) return text.slice(at).length < 20;
    const size = Number.parseInt(head[1] ?? '', 16);
    at += head[0].length + size + 2;
    if (size === 0) return text.length <= at;
    if (at >= text.length) return true;
  }
}
