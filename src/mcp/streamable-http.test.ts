import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { describe, expect, test, vi } from 'vitest';
import { type EchoTool, echoTool, startProtocolServer } from '../../test/mcp/protocol-server.ts';

const ACCEPT = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' };
const initialize = {
  jsonrpc: '2.0',
  id: 0,
  method: 'initialize',
  params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'test', version: '1' } },
};
const toolCall = { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'echo', arguments: { text: 'hi' } } };
const MODERN_HEADERS = { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/call', 'mcp-name': 'echo' };
const modernCall = {
  ...toolCall,
  params: {
    ...toolCall.params,
    _meta: {
      'io.modelcontextprotocol/protocolVersion': '2026-07-28',
      'io.modelcontextprotocol/clientCapabilities': {},
    },
  },
};

type Server = Awaited<ReturnType<typeof startProtocolServer>>;

const post = (server: Server, body: unknown, headers: Record<string, string> = {}, signal?: AbortSignal) =>
  fetch(`${server.url}/mcp`, {
    method: 'POST',
    headers: { ...ACCEPT, ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
    ...(signal ? { signal } : {}),
  });

async function openSession(server: Server, headers: Record<string, string> = {}): Promise<Record<string, string>> {
  const response = await post(server, initialize, headers);
  await response.text();
  return { ...headers, 'mcp-session-id': response.headers.get('mcp-session-id') ?? '' };
}

/** One tool whose calls begin, wait to be let go, and may be aborted. */
function waitingTool() {
  const begun = Promise.withResolvers<void>();
  const released = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<'aborted' | 'released'>();
  const tool: EchoTool = echoTool(async (_input, { signal }) => {
    begun.resolve();
    const aborted = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
    ended.resolve(
      await Promise.race([aborted.then(() => 'aborted' as const), released.promise.then(() => 'released' as const)]),
    );
    return { session_id: 's', text: '' };
  });
  return { tool, begun: begun.promise, release: released.resolve, ended: ended.promise };
}

describe('an answer that is lost with its connection', () => {
  test('is sent again to the client that comes back with the id of the last event it has seen', async () => {
    const { tool, begun, release } = waitingTool();
    await using server = await startProtocolServer({ tools: [tool] });
    const headers = { ...(await openSession(server)), 'mcp-protocol-version': '2025-11-25' };
    const gone = new AbortController();
    const response = await post(server, toolCall, headers, gone.signal);
    const first = new TextDecoder().decode((await response.body?.getReader().read())?.value);
    const id = /^id: (\S+)$/m.exec(first)?.[1] ?? '';
    await begun;
    gone.abort();
    release();
    const come = async (last: string) =>
      await fetch(`${server.url}/mcp`, { headers: { ...ACCEPT, ...headers, 'last-event-id': last } });
    const again = await come(id);
    expect(again.status).toBe(200);
    expect(await again.text()).toContain('"result":{');
    expect((await come('long-gone_7')).status).toBe(400);
    const other = { ...(await openSession(server)), 'mcp-protocol-version': '2025-11-25' };
    const stolen = await fetch(`${server.url}/mcp`, { headers: { ...ACCEPT, ...other, 'last-event-id': id } });
    expect(stolen.status).toBe(400);
  });
});

describe('what ends a call', () => {
  test('a client of the older protocol that disconnects does not', async () => {
    const { tool, begun, release, ended } = waitingTool();
    await using server = await startProtocolServer({ tools: [tool] });
    const session = await openSession(server);
    const leave = new AbortController();
    const response = await post(server, toolCall, session, leave.signal);
    await begun;
    leave.abort();
    await expect(response.text()).rejects.toThrow();
    await (await post(server, { jsonrpc: '2.0', id: 2, method: 'ping' }, session)).text();
    release();
    expect(await ended).toBe('released');
  });

  test('DELETE of its session does, and the session is gone', async () => {
    const { tool, begun, ended } = waitingTool();
    await using server = await startProtocolServer({ tools: [tool] });
    const session = await openSession(server);
    const response = await post(server, toolCall, session);
    await begun;
    const deleted = await fetch(`${server.url}/mcp`, { method: 'DELETE', headers: session });
    expect(deleted.status).toBe(200);
    expect(await ended).toBe('aborted');
    await response.text();
    expect((await post(server, toolCall, session)).status).toBe(404);
    expect(server.streamable.sessions.count).toBe(0);
  });

  test('a client of the newest protocol that disconnects does, before the stream has begun and after', async () => {
    for (const early of [true, false]) {
      const { tool, begun, ended } = waitingTool();
      await using server = await startProtocolServer({ tools: [tool] });
      const leave = new AbortController();
      const answer = post(server, modernCall, MODERN_HEADERS, leave.signal);
      await begun;
      if (!early) expect((await answer).headers.get('content-type')).toBe('text/event-stream');
      leave.abort();
      await answer.then((response) => response.text()).catch(() => undefined);
      expect(await ended).toBe('aborted');
    }
  });

  test('its normal end aborts nothing afterwards, on neither path', async () => {
    const signals: AbortSignal[] = [];
    const tool = echoTool(async ({ text }, { signal }) => {
      signals.push(signal);
      return { session_id: 's', text };
    });
    await using server = await startProtocolServer({ tools: [tool] });
    const session = await openSession(server);
    await (await post(server, toolCall, session)).text();
    await (await post(server, modernCall, { ...MODERN_HEADERS, connection: 'close' })).text();
    await fetch(`${server.url}/mcp`, { method: 'DELETE', headers: session });
    expect(signals.map(({ aborted }) => aborted)).toEqual([false, false]);
  });
});

describe('sessions of the older protocols', () => {
  test('belong to who opened them: to others they are unknown', async () => {
    const authenticate = async (request: Request) => ({ owner: request.headers.get('x-user') ?? 'nobody' });
    await using server = await startProtocolServer({ app: { authenticate } });
    const mine = await openSession(server, { 'x-user': 'me' });
    const others = await post(server, toolCall, { ...mine, 'x-user': 'other' });
    const unknown = await post(server, toolCall, { 'x-user': 'other', 'mcp-session-id': 'never-was' });
    expect(others.status).toBe(404);
    expect(await others.text()).toBe(await unknown.text());
    expect((await post(server, toolCall, mine)).status).toBe(200);
  });

  test('beyond the cap, the one longest unused makes room', async () => {
    await using server = await startProtocolServer({ legacy: { maxSessions: 2 } });
    const [first, second] = [await openSession(server), await openSession(server)];
    await (await post(server, toolCall, first)).text();
    await openSession(server);
    expect(server.streamable.sessions.count).toBe(2);
    expect((await post(server, toolCall, second)).status).toBe(404);
    expect((await post(server, toolCall, first)).status).toBe(200);
  });

  test('beyond the cap, a busy one is never closed for another', async () => {
    const { tool, begun, release } = waitingTool();
    await using server = await startProtocolServer({ tools: [tool], legacy: { maxSessions: 1 } });
    const busy = await openSession(server);
    const answer = await post(server, toolCall, busy);
    await begun;
    const refused = await post(server, initialize);
    expect(refused.status).toBe(503);
    expect(await refused.text()).toContain('try again later');
    release();
    expect(await answer.text()).toContain('"structuredContent"');
  });

  test('of one owner never make room for those of another', async () => {
    const authenticate = async (request: Request) => ({ owner: request.headers.get('x-user') ?? 'nobody' });
    await using server = await startProtocolServer({
      app: { authenticate },
      legacy: { maxSessionsPerOwner: 2, maxSessions: 3 },
    });
    const mine = await openSession(server, { 'x-user': 'me' });
    const theirs = [];
    for (let n = 0; n < 3; n += 1) theirs.push(await openSession(server, { 'x-user': 'other' }));
    const statuses = [];
    for (const session of [mine, ...theirs]) statuses.push((await post(server, toolCall, session)).status);
    expect(statuses).toEqual([200, 404, 200, 200]);
    expect((await post(server, initialize, { 'x-user': 'third' })).status).toBe(503);
  });

  test('end when idle, but not while a call runs or a stream is open', { timeout: 20_000 }, async () => {
    const patient = { timeout: 5000 };
    const { tool, begun, release } = waitingTool();
    await using server = await startProtocolServer({ tools: [tool], legacy: { idleTtlMs: 500 } });
    const [busy, listening] = [await openSession(server), await openSession(server)];
    const stream = await openStream(server, listening);
    const answer = await post(server, toolCall, busy);
    await begun;
    await openSession(server);
    expect(server.streamable.sessions.count).toBe(3);
    await vi.waitFor(() => expect(server.streamable.sessions.count).toBe(2), patient);
    release();
    await answer.text();
    await vi.waitFor(() => expect(server.streamable.sessions.count).toBe(1), patient);
    stream.destroy();
    await vi.waitFor(() => expect(server.streamable.sessions.count).toBe(0), patient);
  });

  test('an initialize that is refused leaves none behind', async () => {
    await using server = await startProtocolServer();
    expect((await post(server, initialize, { accept: 'text/html' })).status).toBe(406);
    expect(server.streamable.sessions.count).toBe(0);
  });
});

describe('requests that make no sense', () => {
  test.each([
    ['no JSON', '{', {}, 400],
    ['nothing', '', {}, 400],
    ['null', 'null', {}, 400],
    ['a call before initialize', toolCall, {}, 400],
    ['a call in an unknown session', toolCall, { 'mcp-session-id': 'x'.repeat(5000) }, 404],
    ['a form', modernCall, { ...MODERN_HEADERS, 'content-type': 'text/plain' }, 415],
    ['headers that disagree with the body', modernCall, { ...MODERN_HEADERS, 'mcp-name': 'other' }, 400],
    ['a version of the future', modernCall, { ...MODERN_HEADERS, 'mcp-protocol-version': '2099-01-01' }, 400],
  ])('%s is refused', async (_what, body, headers, status) => {
    await using server = await startProtocolServer();
    const response = await post(server, body, headers);
    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject({ jsonrpc: '2.0', error: { code: expect.any(Number) } });
  });
});

async function openStream(server: Server, session: Record<string, string>): Promise<IncomingMessage> {
  const headers = { ...session, accept: 'text/event-stream' };
  const request = httpRequest({ host: '127.0.0.1', port: server.port, path: '/mcp', headers, agent: false }).end();
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  response.on('error', () => undefined).resume();
  return response;
}
