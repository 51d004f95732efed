import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { LEGACY_HTTP, MODERN_HTTP, runPythonBy, STDIO, type StockClient } from '../support/mcp-clients.ts';
import { openSession, runPython, userOf } from '../support/rest-client.ts';
import {
  containerOfUser,
  newStateDir,
  processesOf,
  type SeenContainer,
  type Server,
  startServer,
} from '../support/server.ts';

let server: Server;
beforeAll(async () => {
  server = await startServer();
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

const SLEEPER = 'sleep 54321';
const CODE = `import subprocess; subprocess.run("${SLEEPER}".split())`;

/** Whether the program runs, as the engine sees it. */
async function sleepers(container: SeenContainer, uid: number): Promise<string[]> {
  return (await processesOf(container, uid)).filter((args) => args === SLEEPER);
}

interface Running {
  readonly call: Promise<unknown>;
  readonly client: StockClient;
  readonly abort: AbortController;
  expectEnds(): Promise<void>;
  sees(): Promise<string[]>;
}

/** A call of a client whose program runs until somebody ends it. */
async function start(client: StockClient, id: string, from: { stateDir: string }, uid: number): Promise<Running> {
  const container = await containerOfUser(from, uid);
  const abort = new AbortController();
  const args = { code: CODE, session_id: id, timeout_s: 40 };
  const call = client.call('execute_python', args, { signal: abort.signal }).catch((error: unknown) => error);
  const sees = () => sleepers(container, uid);
  await expect.poll(sees, { timeout: 10_000 }).toEqual([SLEEPER]);
  const expectEnds = async () => expect.poll(sees, { timeout: 5000 }).toEqual([]);
  return { call, client, abort, sees, expectEnds };
}

async function startOverHttp(connect: (server: Server) => Promise<StockClient>): Promise<Running & { id: string }> {
  const id = await openSession(server);
  const uid = await userOf(server, id);
  return { ...(await start(await connect(server), id, server, uid)), id };
}

describe.each([...LEGACY_HTTP, ...MODERN_HTTP])('a call that its client cancels (%s)', (_name, connect) => {
  test('ends in the sandbox, and the session goes on', async () => {
    const { call, client, abort, expectEnds, id } = await startOverHttp(connect);
    abort.abort();
    expect(await call).toBeInstanceOf(Error);
    await expectEnds();
    expect(await runPython(server, 'print(1)', { session_id: id })).toMatchObject({ status: 'ok', stdout: '1\n' });
    expect(await runPythonBy(client, 'print(2)', { session_id: id })).toMatchObject({ status: 'ok', stdout: '2\n' });
    await client[Symbol.asyncDispose]();
  });
});

describe('a client that goes away in the midst of a call', () => {
  test.each(MODERN_HTTP)('ends it (%s)', async (_name, connect) => {
    const { client, expectEnds } = await startOverHttp(connect);
    await client[Symbol.asyncDispose]();
    await expectEnds();
  });

  test.each(LEGACY_HTTP.filter(([name]) => name.includes('SSE')))('ends it (%s)', async (_name, connect) => {
    const { client, expectEnds } = await startOverHttp(connect);
    await client[Symbol.asyncDispose]();
    await expectEnds();
  });

  test.each(LEGACY_HTTP.filter(([name]) => !name.includes('SSE')))(
    'leaves it running in its protocol session, as that protocol wants (%s)',
    async (_name, connect) => {
      const { client, sees, id } = await startOverHttp(connect);
      await client[Symbol.asyncDispose]();
      // Were it cancelled, the interrupt would come before these answers.
      for (let call = 0; call < 10; call += 1) await runPython(server, 'pass', { session_id: id });
      expect(await sees()).toEqual([SLEEPER]);
      await fetch(`${server.url}/sessions/${id}`, { method: 'DELETE' });
    },
  );
});

test('DELETE of a protocol session ends its calls', async () => {
  const headers = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' };
  const rpc = async (body: object, more: Record<string, string> = {}) =>
    await fetch(`${server.url}/mcp`, {
      method: 'POST',
      headers: { ...headers, ...more },
      body: JSON.stringify({ jsonrpc: '2.0', ...body }),
    });
  const params = { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'hand', version: '1' } };
  const opened = await rpc({ id: 1, method: 'initialize', params });
  const session = { 'mcp-session-id': opened.headers.get('mcp-session-id') ?? '' };
  await rpc({ method: 'notifications/initialized' }, session);
  const id = await openSession(server);
  const uid = await userOf(server, id);
  const container = await containerOfUser(server, uid);
  const args = { code: CODE, session_id: id, timeout_s: 40 };
  const call = rpc({ id: 2, method: 'tools/call', params: { name: 'execute_python', arguments: args } }, session)
    .then(async (response) => await response.text())
    .catch(() => 'cut off');
  await expect.poll(() => sleepers(container, uid), { timeout: 10_000 }).toEqual([SLEEPER]);
  const deleted = await fetch(`${server.url}/mcp`, { method: 'DELETE', headers: session });
  expect(deleted.status).toBe(200);
  await expect.poll(() => sleepers(container, uid), { timeout: 5000 }).toEqual([]);
  await call;
});

describe.each(STDIO)('over stdio (%s)', (_name, connect) => {
  test('a call that its client cancels ends in the sandbox, and the session goes on', async () => {
    const stateDir = newStateDir();
    await using client = await connect(stateDir);
    const { session_id, stdout } = await runPythonBy(client, 'import os; print(os.getuid())');
    const { call, abort, expectEnds } = await start(client, session_id, { stateDir }, Number(stdout));
    abort.abort();
    expect(await call).toBeInstanceOf(Error);
    await expectEnds();
    expect(await runPythonBy(client, 'print(1)')).toMatchObject({ session_id, status: 'ok', stdout: '1\n' });
  });
});
