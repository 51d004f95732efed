import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { echoTool, startProtocolServer } from '../../test/mcp/protocol-server.ts';
import { type RawRequest, sendRaw } from '../../test/support/raw-request.ts';
import { GloveboxError } from '../errors.ts';

const logged: string[] = [];
const log = { debug() {}, info() {}, warn() {}, error: (message: string) => void logged.push(message) };
let server: Awaited<ReturnType<typeof startProtocolServer>>;

beforeAll(async () => {
  const tool = echoTool(async ({ text }) => {
    if (text === 'defect') throw new Error('secret detail');
    if (text === 'lost') throw new GloveboxError('sandbox_lost', 'It is gone.');
    return { session_id: 'default', text };
  });
  server = await startProtocolServer({
    tools: [tool],
    log,
    app: { maxBodyBytes: 1000 },
  });
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

const send = (path: string, sent?: RawRequest) => sendRaw(server.port, path, sent);
const json = { 'content-type': 'application/json' };
const execute = (body: string | Buffer, headers: Record<string, string> = json) =>
  send('/execute', { method: 'POST', headers, body });

describe('routes', () => {
  test('GET / lists them', async () => {
    expect((await send('/')).text).toContain('POST   /execute');
  });

  test.each(['/health', '/tools', '/', '/openapi.json', '/sessions'])(
    'HEAD %s answers without a body',
    async (path) => {
      expect(await send(path, { method: 'HEAD' })).toMatchObject({ status: 200, text: '' });
    },
  );

  test.each(['/sse', '/mcp'])('HEAD %s opens no stream', async (path) => {
    expect((await send(path, { method: 'HEAD' })).status).toBe(405);
  });

  test('an unknown one is a 404 with the nearest', async () => {
    const { status, json } = await send('/exceute');
    expect(status).toBe(404);
    expect(json().error).toMatchObject({ code: 'not_found', hint: expect.stringContaining('/execute') });
  });

  test.each([
    ['GET', '/sessions/', '/sessions?'],
    ['DELETE', '/sessions/', '/sessions?'],
    ['GET', '/executions/', '/executions?'],
    ['GET', '/health/', '/health?'],
    ['GET', '/tools/', '/tools?'],
    ['POST', '/execute/', '/execute?'],
    ['GET', '/sessions//files', '/sessions/:id/files?'],
  ])('%s %s is an unknown one as well', async (method, path, meant) => {
    const { status, json } = await send(path, { method });
    expect(status).toBe(404);
    expect(json().error).toMatchObject({ code: 'not_found', hint: expect.stringContaining(`Did you mean ${meant}`) });
  });

  test.each([
    ['/execute', 'GET', 'POST'],
    ['/tools', 'POST', 'GET, HEAD'],
    ['/sessions/x', 'PATCH', 'GET, HEAD, DELETE'],
    ['/sessions', 'DELETE', 'POST, GET, HEAD'],
    ['/sessions/x/files', 'PATCH', 'GET, HEAD, PUT, POST'],
    ['/sessions/x/files/', 'PATCH', 'GET, HEAD, PUT, DELETE, POST'],
    ['/sessions/x/files/a/b', 'PATCH', 'GET, HEAD, PUT, DELETE, POST'],
  ])('%s does not do %s', async (path, method, allow) => {
    const { status, headers, json } = await send(path, { method });
    expect(status).toBe(405);
    expect(headers.allow).toBe(allow);
    expect(json().error).toMatchObject({ code: 'invalid_input', hint: `Use ${allow}.` });
  });

  test('GET /tools describes them', async () => {
    const { tools } = (await send('/tools')).json();
    expect(tools).toMatchObject([
      { name: 'echo', title: 'Echo', inputSchema: { type: 'object' }, outputSchema: { type: 'object' } },
    ]);
  });

  test('GET /health looks deeper on demand', async () => {
    expect((await send('/health')).json()).toEqual({ status: 'ok', deep: false });
    expect((await send('/health?deep=1')).json()).toEqual({ status: 'ok', deep: true });
  });

  test('OpenAPI describes every REST route, with references that lead somewhere', async () => {
    const api = (await send('/openapi.json')).json();
    expect(Object.keys(api.paths)).toEqual([
      '/health',
      '/tools',
      '/execute',
      '/execute/stream',
      '/execute/stream/stdin',
      '/sessions',
      '/sessions/{id}',
      '/sessions/{id}/snapshots',
      '/sessions/{id}/fork',
      '/sessions/{id}/archive',
      '/snapshots',
      '/snapshots/{id}',
      '/executions',
      '/executions/{id}',
      '/executions/{id}/events',
      '/executions/{id}/input',
      '/executions/{id}/signal',
      '/sessions/{id}/executions',
      '/sessions/{id}/contexts/{name}',
      '/sessions/{id}/files',
      '/sessions/{id}/files/{path}',
      '/sessions/{id}/terminals',
      '/sessions/{id}/terminals/{terminal}',
      '/sessions/{id}/terminals/{terminal}/attach',
      '/openapi.json',
    ]);
    for (const [, name] of JSON.stringify(api).matchAll(/#\/components\/schemas\/(\w+)/g)) {
      expect(api.components.schemas).toHaveProperty(String(name));
    }
  });
});

describe('bodies and errors', () => {
  test.each([
    ['declared', { 'content-length': '1001' }],
    ['chunked', { 'transfer-encoding': 'chunked' }],
  ])('one that is too large, %s, is refused', async (_how, headers) => {
    const { status, json } = await execute('x'.repeat(1001), headers);
    expect(status).toBe(413);
    expect(json().error.code).toBe('payload_too_large');
  });

  test('a chunked one within the limit is read', async () => {
    const { status } = await execute('{"name": "echo", "arguments": {"text": "x"}}', {
      'transfer-encoding': 'chunked',
      ...json,
    });
    expect(status).toBe(200);
  });

  test('one that is not UTF-8 is refused', async () => {
    const { status, json } = await execute(Buffer.from([0x7b, 0xff, 0x7d]));
    expect(status).toBe(400);
    expect(json().error.message).toBe('The body is not valid UTF-8.');
  });

  test('a defect is logged and told of without any detail', async () => {
    const { status, text } = await execute('{"name": "echo", "arguments": {"text": "defect"}}');
    expect(status).toBe(500);
    expect(text).toContain('internal_error');
    expect(text).not.toContain('secret');
    expect(logged).toContain('A request failed.');
  });

  test("an error has the table's status", async () => {
    expect((await execute('{"name": "echo", "arguments": {"text": "lost"}}')).status).toBe(502);
  });
});

describe('a server that is ending', () => {
  test.each([
    ['POST', '/execute', json],
    ['POST', '/mcp', { ...json, accept: 'application/json, text/event-stream' }],
    ['GET', '/health', {}],
  ])('refuses %s %s and closes the connection', async (method, path, headers) => {
    await using ending = await startProtocolServer({ app: { closing: AbortSignal.abort() } });
    const body = method === 'POST' ? '{"name": "echo", "arguments": {"text": "too late"}}' : '';
    const answer = await sendRaw(ending.port, path, {
      method,
      headers: { connection: 'keep-alive', ...headers },
      body,
    });
    expect(answer).toMatchObject({ status: 503, headers: { connection: 'close' } });
    expect(answer.json().error).toMatchObject({
      code: 'engine_unavailable',
      hint: 'Try again once the server is back. Nothing of the call was begun.',
      begun: false,
    });
  });
});

describe('sessions', () => {
  test('are made, listed, inspected and closed', async () => {
    const made = await send('/sessions', { method: 'POST', headers: json, body: '{"name": "mine"}' });
    expect(made).toMatchObject({ status: 201, headers: { location: '/sessions/mine' } });
    expect((await send('/sessions')).json().sessions).toMatchObject([{ session_id: 'mine' }]);
    expect((await send('/sessions/mine')).json()).toMatchObject({ session_id: 'mine', running: 0 });
    expect(await send('/sessions/mine', { method: 'DELETE' })).toMatchObject({ status: 204, text: '' });
    expect((await send('/sessions/mine')).json().error.code).toBe('session_not_found');
  });

  test('need no body to be made', async () => {
    expect((await send('/sessions', { method: 'POST' })).status).toBe(201);
    expect((await send('/sessions', { method: 'POST', headers: json, body: '{"name": 1}' })).status).toBe(400);
  });

  test.each([
    '/sessions/..%2Fx',
    `/sessions/${'x'.repeat(10_000)}`,
    '/sessions/%00',
    '/sessions/%E0%A4%A',
    '/sessions/%',
  ])('are not found at %.30j, whatever it is', async (path) => {
    for (const method of ['GET', 'DELETE']) {
      expect((await send(path, { method })).json().error.code).toBe('session_not_found');
    }
  });
});
