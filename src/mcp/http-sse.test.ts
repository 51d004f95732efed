import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { expect, test } from 'vitest';
import { echoTool, startProtocolServer } from '../../test/mcp/protocol-server.ts';

type Server = Awaited<ReturnType<typeof startProtocolServer>>;

async function openSse(server: Server, headers: Record<string, string> = {}) {
  const request = httpRequest({ host: '127.0.0.1', port: server.port, path: '/sse', headers, agent: false }).end();
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  response.on('error', () => undefined);
  const [first] = (await once(response, 'data')) as [Buffer];
  const endpoint = /^event: endpoint\ndata: (\S+)\n\n/.exec(first.toString())?.[1] ?? '';
  const post = (body: unknown, extra: Record<string, string> = {}) =>
    fetch(server.url + endpoint, { method: 'POST', body: JSON.stringify(body), headers: { ...headers, ...extra } });
  return { response, endpoint, post };
}

const toolCall = { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'echo', arguments: { text: 'hi' } } };
const initialize = {
  jsonrpc: '2.0',
  id: 0,
  method: 'initialize',
  params: { protocolVersion: '2024-11-05', capabilities: {}, clientInfo: { name: 'test', version: '1' } },
};

test('a client that goes away aborts its calls and frees its session', async () => {
  const begun = Promise.withResolvers<void>();
  const aborted = Promise.withResolvers<void>();
  const tool = echoTool(async ({ text }, { signal }) => {
    signal.addEventListener('abort', () => aborted.resolve(), { once: true });
    begun.resolve();
    await aborted.promise;
    return { session_id: 's', text };
  });
  await using server = await startProtocolServer({ tools: [tool] });
  const { response, post } = await openSse(server);
  expect((await post(initialize)).status).toBe(202);
  expect((await post(toolCall)).status).toBe(202);
  await begun.promise;
  response.destroy();
  await aborted.promise;
  expect((await post(toolCall)).status).toBe(404);
});

test("another's session is as unknown as one that never was", async () => {
  const authenticate = async (request: Request) => ({ owner: request.headers.get('x-user') ?? 'nobody' });
  await using server = await startProtocolServer({ app: { authenticate } });
  const { post } = await openSse(server, { 'x-user': 'me' });
  expect((await post(initialize, { 'x-user': 'other' })).status).toBe(404);
  expect((await fetch(`${server.url}/messages?sessionId=x`, { method: 'POST', body: '{}' })).status).toBe(404);
  expect((await fetch(`${server.url}/messages`, { method: 'POST', body: '{}' })).status).toBe(404);
  expect((await post(initialize)).status).toBe(202);
});

test('what is no JSON-RPC message is refused', async () => {
  await using server = await startProtocolServer();
  const { post } = await openSse(server);
  expect((await post({ hello: 1 })).status).toBe(400);
  expect((await post([])).status).toBe(400);
});

test('too many streams are refused, and a closed one makes room', async () => {
  await using server = await startProtocolServer();
  const open = await Promise.all(Array.from({ length: 10 }, () => openSse(server)));
  expect((await fetch(`${server.url}/sse`)).status).toBe(503);
  const { response, post } = open[0] ?? {};
  response?.destroy();
  await expect.poll(async () => (await post?.(initialize))?.status).toBe(404);
  expect((await openSse(server)).endpoint).toContain('/messages?sessionId=');
});

test('streams of one owner leave room for those of another', async () => {
  const authenticate = async (request: Request) => ({ owner: request.headers.get('x-user') ?? 'nobody' });
  await using server = await startProtocolServer({ app: { authenticate } });
  await Promise.all(Array.from({ length: 10 }, () => openSse(server, { 'x-user': 'me' })));
  expect((await fetch(`${server.url}/sse`, { headers: { 'x-user': 'me' } })).status).toBe(503);
  expect((await openSse(server, { 'x-user': 'other' })).endpoint).toContain('/messages?sessionId=');
});

test('a client that does not read is cut off, and the server keeps no more for it', async () => {
  const tool = echoTool(async ({ text }) => ({ session_id: 's', text: text.repeat(1024 * 1024) }));
  await using server = await startProtocolServer({ tools: [tool] });
  const { response, post } = await openSse(server);
  expect((await post(initialize)).status).toBe(202);
  response.pause();
  response.socket.pause();
  const ended = expect.poll(async () => (await post(toolCall)).status, { timeout: 20_000, interval: 5 });
  await ended.toBe(404);
  // Another one is served as before.
  expect((await openSse(server)).endpoint).toContain('/messages?sessionId=');
}, 30_000);
