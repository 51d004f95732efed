import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { sendRaw } from '../support/raw-request.ts';
import { mainThreadCpuS, type Server, startServer } from '../support/server.ts';

let server: Server;
beforeAll(async () => {
  server = await startServer({ env: { GLOVEBOX_POOL_SIZE: '0' } });
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

const json = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' };
/** A body of this many bytes is still read. */
const LARGE = 7 * 1024 * 1024 - 4096;
/** Seconds of the thread that answers, for which all others wait at most; such a body takes some tenths of it. */
const MOST_WORK_S = 0.7;

const fields = (count: number) => Array.from({ length: count }, (_, index) => `"x${index}":1`).join(',');
const fill = (text: string) => text.repeat(Math.floor(LARGE / text.length));
const call = (tool: string, args: string) => `{"name":"${tool}","arguments":${args}}`;
const mcp = (args: string) =>
  `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"execute_python","arguments":${args}}}`;

describe('a request holds up no other call', () => {
  test.each<[what: string, path: string, body: string]>([
    ['400 000 unknown arguments', '/execute', call('execute_python', `{${fields(400_000)}}`)],
    ['as many unknown fields', '/execute', `{${fields(400_000)}}`],
    ['as many unknown arguments over MCP', '/mcp', mcp(`{${fields(400_000)}}`)],
    ['unknown arguments just below the limit', '/execute', call('execute_python', `{${fields(19_000)}}`)],
    ['arguments as the text of an object', '/execute', call('execute_python', JSON.stringify(`{${fields(300_000)}}`))],
    ['packages as the text of a list', '/execute', call('install_dependencies', `{"packages":"[${fill("'")}"}`)],
    ['a method of megabytes over MCP', '/mcp', `{"jsonrpc":"2.0","id":1,"method":"${fill('a')}"}`],
    ['nothing but escapes', '/execute', call('execute_python', `{"code":"${fill('\\"')}"}`)],
    [
      'base64 of nothing but spaces',
      '/execute',
      call('write_file', `{"path":"a","encoding":"base64","content":"${fill(' ')}"}`),
    ],
    ['deeply nested arguments over MCP', '/mcp', mcp(`${'{"a":'.repeat(500_000)}1${'}'.repeat(500_000)}`)],
  ])('with %s', async (_what, path, body) => {
    const before = mainThreadCpuS(server.pid);
    const answer = await sendRaw(server.port, path, { method: 'POST', headers: json, body });
    expect(answer.status).toBe(400);
    expect(mainThreadCpuS(server.pid) - before).toBeLessThan(MOST_WORK_S);
  });
});

/** Sends bytes as they are. Returns the first line of each answer that comes before the connection is closed. */
async function sendBytes(bytes: string | Buffer): Promise<string[]> {
  const socket = connect(server.port, '127.0.0.1');
  socket.on('error', () => {}); // A server may break off what it refuses.
  socket.end(bytes);
  const chunks: Buffer[] = [];
  socket.on('data', (chunk) => chunks.push(chunk));
  await new Promise((resolve) => socket.once('close', resolve));
  const text = Buffer.concat(chunks).toString('latin1');
  return [...text.matchAll(/^HTTP\/1\.1 (\d{3})/gm)].map(([, status = '']) => status);
}

const CALL = '{"name":"execute_python","arguments":{"code":"print(1)"}}';
const HEAD = `POST /execute HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n`;
const SECOND = 'DELETE /sessions/default HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n';

describe('bytes that two readers may take for different requests', () => {
  test.each<[what: string, bytes: string, statuses: string[]]>([
    [
      'with two lengths: refused, and no second request is read',
      `${HEAD}Content-Length: 4\r\nContent-Length: ${CALL.length}\r\n\r\n${CALL}${SECOND}`,
      ['400'],
    ],
    [
      'with a length and chunks: refused, and no second request is read',
      `${HEAD}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${SECOND}`,
      ['400'],
    ],
    ['with a negative length: refused', `${HEAD}Content-Length: -1\r\n\r\n${SECOND}`, ['400']],
    ['with a length in hexadecimal: refused', `${HEAD}Content-Length: 0x10\r\n\r\n${SECOND}`, ['400']],
    [
      'with a chunk of a wrong length: refused',
      `${HEAD}Transfer-Encoding: chunked\r\n\r\nzz\r\n${CALL}\r\n0\r\n\r\n`,
      ['400'],
    ],
    ['with an encoding that hides the chunks: refused', `${HEAD}Transfer-Encoding: xchunked\r\n\r\n${CALL}`, ['400']],
    ['with a space before the colon: refused', `${HEAD}Content-Length : 4\r\n\r\n{}{}`, ['400']],
    ['with a folded header: refused', `${HEAD}X-A: 1\r\n\tContent-Length: 4\r\n\r\n`, ['400']],
    ['with a NUL in a header: refused', `${HEAD}X-A: a\0b\r\nContent-Length: 0\r\n\r\n`, ['400']],
    ['with no Host: refused', 'GET /health HTTP/1.1\r\n\r\n', ['400']],
    ['with lines that end in LF alone: refused', 'GET /health HTTP/1.1\nHost: 127.0.0.1\n\n', ['400']],
    ['that are TLS: refused', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n', ['400']],
  ])('%s', async (_what, bytes, statuses) => {
    expect(await sendBytes(Buffer.from(bytes, 'latin1'))).toEqual(statuses);
  });

  test('with more headers than a request has: refused', async () => {
    expect(await sendBytes(`GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n${'X-A: 1\r\n'.repeat(20_000)}\r\n`)).toEqual([
      '431',
    ]);
  });

  test('with a header of a megabyte: refused', async () => {
    expect(await sendBytes(`GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: ${'a'.repeat(2 ** 20)}\r\n\r\n`)).toEqual([
      '431',
    ]);
  });
});

describe('a request that a page of another site makes', () => {
  test.each<[what: string, headers: Record<string, string>]>([
    ['for a name that was bound to this address (DNS rebinding)', { host: 'evil.example' }],
    ['for such a name with a port', { host: 'evil.example:80' }],
    ['for a name that begins like a loopback one', { host: '127.0.0.1.evil.example' }],
    ['from an origin of its own', { origin: 'https://evil.example' }],
    ['from no origin (a sandboxed frame)', { origin: 'null' }],
    ['from an origin that begins like a loopback one', { origin: 'http://localhost.evil.example' }],
    ['from a file', { origin: 'file://' }],
    ['as an image of it', { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors' }],
  ])('%s: refused', async (_what, headers) => {
    for (const path of ['/sessions', '/health', '/tools']) {
      expect((await sendRaw(server.port, path, { headers })).status).toBe(403);
    }
    const body = '{"name":"execute_python","arguments":{"code":"print(1)"}}';
    const answer = await sendRaw(server.port, '/execute', { method: 'POST', headers: { ...json, ...headers }, body });
    expect([answer.status, answer.headers['access-control-allow-origin']]).toEqual([403, undefined]);
  });

  test('as a form or as text, which needs no preflight: refused', async () => {
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x']) {
      const answer = await sendRaw(server.port, '/execute', {
        method: 'POST',
        headers: { 'content-type': type },
        body: CALL,
      });
      expect(answer.status).toBe(415);
    }
  });
});

describe('a request', () => {
  test.each<
    [
      what: string,
      path: string,
      init: { method?: string; headers?: Record<string, string>; body?: string },
      status: number,
    ]
  >([
    ['with a path that climbs out: unknown', '/sessions/../../../etc/passwd', {}, 404],
    ['with such a path, encoded: refused', '/sessions/%2e%2e%2f%2e%2e%2fetc%2fpasswd', {}, 404],
    ['with a path that is not UTF-8: refused', '/sessions/%ff%fe', {}, 404],
    ['for __proto__: unknown', '/__proto__', {}, 404],
    ['for constructor of the tools: unknown', '/tools/constructor', {}, 404],
    ['of a method that nobody knows: refused', '/sessions', { method: 'PROPFIND' }, 405],
    ['to trace it: refused', '/execute', { method: 'TRACE' }, 405],
    [
      'that overrides its method: it is what it is',
      '/sessions',
      { method: 'GET', headers: { 'x-http-method-override': 'DELETE' } },
      200,
    ],
    [
      'that says it comes from loopback by a proxy: its Host counts',
      '/sessions',
      { headers: { host: 'evil.example', 'x-forwarded-host': 'localhost', 'x-forwarded-for': '127.0.0.1' } },
      403,
    ],
    [
      'with a body in gzip: refused, it could grow to any size',
      '/execute',
      { method: 'POST', headers: { ...json, 'content-encoding': 'gzip' }, body: 'x' },
      415,
    ],
    [
      'with a length of a terabyte: refused before a byte is read',
      '/execute',
      { method: 'POST', headers: { ...json, 'content-length': String(2 ** 40) } },
      413,
    ],
    [
      'with __proto__ as an argument: refused',
      '/execute',
      { method: 'POST', headers: json, body: '{"name":"execute_python","arguments":{"code":"1","__proto__":{"x":1}}}' },
      400,
    ],
    [
      'with a tool of the name of a method of objects: unknown',
      '/execute',
      { method: 'POST', headers: json, body: '{"name":"toString","arguments":{}}' },
      404,
    ],
  ])('%s', async (_what, path, init, status) => {
    const answer = await sendRaw(server.port, path, init);
    expect([answer.status, answer.text]).toEqual([status, expect.not.stringContaining('root:')]);
    expect(answer.text).not.toMatch(/\bat \S+ \(|node_modules|\/dist\//);
  });
});

test('after all of this the server answers as before', async () => {
  const answer = await sendRaw(server.port, '/execute', { method: 'POST', headers: json, body: CALL });
  expect([answer.status, answer.json().result.stdout]).toEqual([200, '1\n']);
});
