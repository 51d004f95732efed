import { once } from 'node:events';
import { connect } from 'node:net';
import { text as readText } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startProtocolServer } from '../../test/mcp/protocol-server.ts';
import { type RawRequest, sendRaw } from '../../test/support/raw-request.ts';

let server: Awaited<ReturnType<typeof startProtocolServer>>;
beforeAll(async () => {
  server = await startProtocolServer({ app: { maxBodyBytes: 1000, stallMs: 60 } });
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

const send = (path: string, sent?: RawRequest) => sendRaw(server.port, path, sent);
const json = { 'content-type': 'application/json' };
const CALL = '{"name":"echo","arguments":{"text":"x"}}';

/** All that the server says to these bytes, until it hangs up. */
async function converse(...said: string[]): Promise<string> {
  const socket = connect(server.port, '127.0.0.1');
  await once(socket, 'connect');
  for (const bytes of said) socket.write(bytes);
  return await readText(socket);
}

describe('a request is looked at from its head on', () => {
  test.each([
    ['PUT', '/execute', 'POST'],
    ['DELETE', '/tools', 'GET, HEAD'],
    ['PATCH', '/sessions/x/files/a', 'GET, HEAD, PUT, DELETE, POST'],
    ['POST', '/sessions/x', 'GET, HEAD, DELETE'],
  ])('%s %s is 405 with Allow, however long its body is said to be', async (method, path, allow) => {
    const headers = { ...json, 'content-length': '900000000' };
    const answer = await send(path, { method, headers, body: '{' });
    expect([answer.status, answer.headers.allow]).toEqual([405, allow]);
  });

  test('a wrong type is 415, before the body is found too long or no JSON', async () => {
    const headers = { 'content-type': 'text/plain', 'content-length': '900000000' };
    expect((await send('/execute', { method: 'POST', headers, body: '' })).status).toBe(415);
    expect((await send('/sessions', { method: 'POST', headers, body: '{' })).json().error.code).toBe(
      'unsupported_media_type',
    );
  });

  test.each([
    ['/health', 'GET, HEAD'],
    ['/sessions', 'POST, GET, HEAD'],
    ['/mcp', 'POST, GET, HEAD, DELETE'],
    ['/sessions/x/files/a', 'GET, HEAD, PUT, DELETE, POST'],
  ])('OPTIONS %s says which methods there are', async (path, allow) => {
    expect(await send(path, { method: 'OPTIONS' })).toMatchObject({ status: 204, text: '', headers: { allow } });
    expect((await send('/nothing', { method: 'OPTIONS' })).status).toBe(404);
  });
});

describe('query parameters', () => {
  test.each([
    ['GET', '/health?dep=1', 'There is no query parameter "dep" here.', 'Did you mean "deep"?'],
    ['GET', '/sessions/x/files?recursiv=1', '"recursiv"', 'Did you mean "recursive"? Query parameters here: path'],
    ['DELETE', '/sessions/x/files/a?recursively=1', '"recursively"', 'Query parameters here: recursive.'],
    ['POST', '/execute?session_id=a', '"session_id"', 'This route takes none.'],
    ['GET', '/?x=1', '"x"', 'This route takes none.'],
    ['GET', '/health?deep=1&deep=0', 'The query parameter "deep" is there twice.', 'Send it once.'],
    ['GET', '/health?deep=yes', '?deep= must be 1 or 0, not "yes".', 'Use ?deep=1, or leave it out.'],
    ['GET', `/sessions?${'y'.repeat(5000)}=1`, 'There is no query parameter', 'This route takes none.'],
  ])('%s %s is refused', async (method, path, message, hint) => {
    const answer = await send(path, { method });
    expect(answer.status).toBe(400);
    expect(answer.json().error).toMatchObject({
      message: expect.stringContaining(message),
      hint: expect.stringContaining(hint),
    });
  });

  test.each([
    ['?deep=1', true],
    ['?deep=true', true],
    ['?deep=True', true],
    ['?deep', true],
    ['?deep=0', false],
    ['?deep=false', false],
    ['?deep=', false],
  ])('a switch may be set as %s', async (query, deep) => {
    expect((await send(`/health${query}`)).json()).toEqual({ status: 'ok', deep });
  });
});

describe('GET /', () => {
  test.each([
    [undefined, 'text/plain'],
    ['*/*', 'text/plain'],
    ['application/json', 'application/json'],
    ['text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8', 'text/html'],
    ['text/html;q=0.1, application/json', 'application/json'],
    ['application/*', 'application/json'],
    ['text/*', 'text/plain'],
    ['image/png', 'text/plain'],
    ['text/html;q=0, application/json;q=0.5', 'application/json'],
  ])('for Accept: %s is %s', async (accept, type) => {
    const answer = await send('/', { headers: accept === undefined ? {} : { accept } });
    expect(answer.status).toBe(200);
    expect(answer.headers).toMatchObject({ 'content-type': expect.stringContaining(type), vary: 'Accept' });
    expect(answer.text).toContain('/sessions/:id');
    if (type === 'application/json')
      expect(answer.json()).toMatchObject({ name: 'glovebox', openapi: '/openapi.json' });
  });
});

test('POST /sessions is 201 for a new session, and 200 for one that is there', async () => {
  const make = () => send('/sessions', { method: 'POST', headers: json, body: '{"name": "once"}' });
  const [first, second] = [await make(), await make()];
  expect([first.status, second.status]).toEqual([201, 200]);
  expect(second.json()).toEqual(first.json());
  expect((await send('/sessions', { method: 'POST' })).status).toBe(201);
});

test('the name of a session may stand in the address or in the body, and not another in each', async () => {
  const make = (query: string, body: string) => send(`/sessions${query}`, { method: 'POST', headers: json, body });
  expect((await make('?name=in-address', '{}')).json().session_id).toBe('in-address');
  expect((await make('?name=both', '{"name": "both"}')).json().session_id).toBe('both');
  expect((await make('?name=one', '{"name": "other"}')).status).toBe(400);
  expect((await send('/sessions/one')).status).toBe(404);
});

test('a hint names what a REST caller would do', async () => {
  expect((await send('/sessions/none')).json().error.hint).toMatch(/GET \/sessions .*POST \/sessions/);
});

test('pages of allowed origins may read all headers that an answer needs', async () => {
  const { headers } = await send('/', { headers: { origin: 'http://localhost:5173' } });
  const exposed = String(headers['access-control-expose-headers']).split(', ');
  expect(exposed).toEqual(
    expect.arrayContaining(['ETag', 'Allow', 'Content-Range', 'Content-Disposition', 'Location', 'X-Left-Out']),
  );
  expect(headers.vary).toBe('Accept, Origin');
});

describe('a connection', () => {
  const post = (path: string, version: string, more = '') =>
    `POST ${path} HTTP/${version}\r\nHost: localhost\r\nContent-Type: application/json\r\n${more}Content-Length: ${CALL.length}\r\n\r\n${CALL}`;
  const get = (path: string, version: string, more = '') =>
    `GET ${path} HTTP/${version}\r\nHost: localhost\r\n${more}\r\n`;

  test.each(['/execute', '/execute/stream'])('that is to be closed after POST %s is', async (path) => {
    const said = await converse(post(path, '1.1', 'Connection: close\r\n'));
    expect(said).toMatch(/^HTTP\/1.1 200 OK\r\n/);
    expect(said).toMatch(/\r\nconnection: close\r\n/i);
    expect(said).not.toMatch(/keep-alive/i);
  });

  test.each([
    ['GET /tools', get('/tools', '1.0')],
    ['GET /tools, kept alive', get('/tools', '1.0', 'Connection: keep-alive\r\n') + get('/health', '1.0')],
    ['POST /execute', post('/execute', '1.0')],
    ['POST /execute/stream', post('/execute/stream', '1.0')],
    ['POST /execute/stream, kept alive', post('/execute/stream', '1.0', 'Connection: keep-alive\r\n')],
  ])('of HTTP/1.0 gets no chunks for %s', async (_what, request) => {
    const said = await converse(request);
    expect(said).toMatch(/^HTTP\/1.1 200 OK\r\n/);
    expect(said).not.toMatch(/transfer-encoding/i);
    expect(said.trimEnd()).not.toMatch(/\n0$/);
  });

  test('of an SSE client is kept as it says, too', async () => {
    const socket = connect(server.port, '127.0.0.1');
    socket.write(get('/sse', '1.0', 'Connection: close\r\n'));
    const [head] = (await once(socket, 'data')) as [Buffer];
    socket.destroy();
    expect(head.toString()).not.toMatch(/transfer-encoding|keep-alive/i);
  });
});

describe('a body', () => {
  const head = (length: number, more = '') =>
    `POST /execute HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${length}\r\n${more}\r\n`;

  test('that a client asks about first is asked for only if it is wanted', async () => {
    const refused = await converse(head(2000, 'Expect: 100-continue\r\n'));
    expect(refused).toMatch(/^HTTP\/1.1 413 /);
    expect(refused).toMatch(/\r\nconnection: close\r\n/i);
    const wrongType = await converse(head(20, 'Expect: 100-continue\r\n').replace('application/json', 'text/plain'));
    expect(wrongType).toMatch(/^HTTP\/1.1 415 /);

    const socket = connect(server.port, '127.0.0.1');
    socket.write(head(CALL.length, 'Expect: 100-continue\r\nConnection: close\r\n'));
    const [first] = (await once(socket, 'data')) as [Buffer];
    expect(first.toString()).toBe('HTTP/1.1 100 Continue\r\n\r\n');
    socket.write(CALL);
    expect(await readText(socket)).toMatch(/^HTTP\/1.1 200 OK/);
  });

  test('that is too long is refused before any of it comes', async () => {
    expect(await converse(head(2000))).toMatch(/^HTTP\/1.1 413 /);
  });

  test.each([
    ['of a declared length', head(CALL.length) + CALL.slice(0, 10)],
    ['in chunks', `${head(0).replace('Content-Length: 0', 'Transfer-Encoding: chunked')}5\r\n{"nam\r\n`],
  ])('%s that stops to come is 408, and the connection ends', async (_how, said) => {
    const answer = await converse(said);
    expect(answer).toMatch(/^HTTP\/1.1 408 /);
    expect(answer).toMatch(/\r\nconnection: close\r\n/i);
    expect(answer).toContain('"code":"request_timeout"');
  });

  test('that trickles is read to its end', async () => {
    const socket = connect(server.port, '127.0.0.1');
    socket.write(head(CALL.length, 'Connection: close\r\n'));
    const answer = readText(socket);
    for (const char of CALL) {
      socket.write(char);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    expect(await answer).toMatch(/^HTTP\/1.1 200 OK/);
  });
});

describe('what is no request', () => {
  test.each([
    ['no HTTP', 'hello\r\n\r\n', 400],
    ['a head without end', `GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: ${'x'.repeat(20_000)}\r\n\r\n`, 431],
    ['a malformed length', 'POST /execute HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n', 400],
  ])('%s is answered with an error of the usual form', async (_what, said, status) => {
    const [head = '', body = ''] = (await converse(said)).split('\r\n\r\n');
    expect(head).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
    expect(JSON.parse(body).error).toMatchObject({ code: 'invalid_input', hint: expect.stringMatching(/\w/) });
  });
});

describe('a message to MCP', () => {
  const call = (args: string) =>
    `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":${args}}}`;
  const headers = { ...json, accept: 'application/json, text/event-stream' };

  test.each([
    ['has an argument twice', '{"text": "a", "text": "b"}', /"text\\" is there twice/],
    ['has an argument twice, once in escapes', '{"text": "a", "t\\u0065xt": "b"}', /"text\\" is there twice/],
    ['has a field of an argument twice', '{"text": {"a": 1, "a": 2}}', /"a\\" is there twice/],
    ['is nested deeply', `{"text": ${'['.repeat(5000)}${']'.repeat(5000)}}`, /nested more than/],
  ])('that %s is 400, wherever it is sent', async (_what, args, message) => {
    const large = await startProtocolServer();
    for (const path of ['/mcp', `/messages?sessionId=${await openSse(large.port)}`]) {
      const { status, text } = await sendRaw(large.port, path, { method: 'POST', headers, body: call(args) });
      expect([status, text]).toEqual([400, expect.stringMatching(message)]);
    }
    const body = `{"name":"echo","arguments":${args}}`;
    const { status, text } = await sendRaw(large.port, '/execute', { method: 'POST', headers: json, body });
    expect([status, text]).toEqual([400, expect.stringMatching(message)]);
    await large[Symbol.asyncDispose]();
  });

  /** The id of a session whose stream stays open. */
  async function openSse(port: number): Promise<string> {
    const { body } = await fetch(`http://127.0.0.1:${port}/sse`);
    const { value } = (await body?.getReader().read()) ?? {};
    return /sessionId=([\w-]+)/.exec(Buffer.from(value ?? []).toString())?.[1] ?? '';
  }
});
