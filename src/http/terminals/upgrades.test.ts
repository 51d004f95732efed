import { once } from 'node:events';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { createLog } from '../../log.ts';
import { createUpgrades, passUpgrades } from './upgrades.ts';

const PATH = '/sessions/s/terminals/t/attach';
const server = createServer((request, response) => {
  void text(request).then((body) =>
    response.end(`${request.method} ${request.url} ${request.headers.upgrade} ${body}`),
  );
});
const closing = new AbortController();
/** Requests that the app got. */
const seen: Request[] = [];
let port = 0;

beforeAll(async () => {
  const fetch = (request: Request, env: { upgrade?: { accept(use: (socket: WebSocket) => void): void } }) => {
    seen.push(request);
    if (request.headers.get('x-api-key') === 'none') return Response.json({ error: 'no' }, { status: 401 });
    if (!request.url.endsWith('silent')) env.upgrade?.accept((socket) => socket.send('hello'));
    return new Response(null, { status: 204 });
  };
  const log = createLog('error', () => {});
  passUpgrades(server, createUpgrades({ fetch, log, closing: closing.signal }));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  port = typeof address === 'object' && address ? address.port : 0;
});
afterAll(() => void server.close());

/** Sends bytes; all that comes back until the server closes. */
async function sendRaw(lines: readonly string[], body = ''): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  socket.write(`${lines.join('\r\n')}\r\n\r\n${body}`);
  return await text(socket);
}

const open = (path = PATH, protocols: string[] = []) => new WebSocket(`ws://127.0.0.1:${port}${path}`, protocols);

describe('a request for a WebSocket', () => {
  test('becomes one when the app agrees', async () => {
    const socket = open(`${PATH}?from=7`, ['glovebox.terminal']);
    const [message] = await once(socket, 'message');
    expect([String(message), socket.protocol]).toEqual(['hello', 'glovebox.terminal']);
    expect(new URL(seen.at(-1)?.url ?? '').search).toBe('?from=7');
    socket.terminate();
  });

  test('brings the key of a browser to where others send it, and the answer does not repeat it', async () => {
    const key = 'gbk_some-key';
    const socket = open(PATH, [`glovebox.key.${Buffer.from(key).toString('base64url')}`, 'glovebox.terminal']);
    const [[response]] = await Promise.all([once(socket, 'upgrade'), once(socket, 'message')]);
    expect(seen.at(-1)?.headers.get('x-api-key')).toBe(key);
    expect(response.headers['sec-websocket-protocol']).toBe('glovebox.terminal');
    socket.terminate();
  });

  test.each(['glovebox.key.', `glovebox.key.${Buffer.from('a b').toString('base64url')}`, 'glovebox.key.AAAA'])(
    'with %s has no key that is valid',
    async (protocol) => {
      const socket = open(PATH, [protocol]);
      const [, response] = await once(socket, 'unexpected-response');
      expect([response.statusCode, await text(response)]).toEqual([401, '{"error":"no"}']);
    },
  );

  test('that the app does not accept is answered, and the connection closed', async () => {
    const answer = await sendRaw([
      `GET ${PATH}?silent HTTP/1.1`,
      ...['Host: localhost', 'Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13'],
      'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
    ]);
    expect(answer).toMatch(/^HTTP\/1\.1 204 /);
    expect(answer).toMatch(/\r\nconnection: close\r\n/i);
  });

  test('without what a WebSocket needs becomes none', async () => {
    const lines = [`GET ${PATH} HTTP/1.1`, 'Host: localhost', 'Connection: Upgrade', 'Upgrade: websocket'];
    expect(await sendRaw(lines)).toMatch(/^HTTP\/1\.1 400 /);
  });
});

describe('a request that offers another protocol', () => {
  test.each([
    ['HTTP/2, as of Java', 'POST /execute HTTP/1.1', 'h2c'],
    ['a WebSocket where there is none', 'POST /execute HTTP/1.1', 'websocket'],
    ['HTTP/2 where there is a WebSocket', `POST ${PATH} HTTP/1.1`, 'h2c'],
  ])('%s is answered as if it had not', async (_what, line, protocol) => {
    const answer = await sendRaw(
      [
        ...[line, 'Host: localhost', 'Connection: Upgrade, HTTP2-Settings, close', `Upgrade: ${protocol}`],
        ...['HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA', 'Content-Length: 4'],
      ],
      'body',
    );
    expect(answer).toMatch(/^HTTP\/1\.1 200 /);
    expect(answer).toContain(`${line.replace(/ HTTP.*/, '')} undefined body`);
  });
});

test('a server that stops says so to those who look, and waits for nobody', async () => {
  const socket = open();
  await once(socket, 'message');
  closing.abort();
  const [code] = await once(socket, 'close');
  expect(code).toBe(1001);
});
