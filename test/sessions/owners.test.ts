import { mkdtempSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { makeWheel } from '../support/distributions.ts';
import { IndexServer } from '../support/index-server.ts';
import { LEGACY_HTTP, MODERN_HTTP, runPythonBy, textOf } from '../support/mcp-clients.ts';
import { callTool, post, runPython } from '../support/rest-client.ts';
import { environment, newStateDir, runCli, type Server, startServer } from '../support/server.ts';

const CLIENTS = [...LEGACY_HTTP, ...MODERN_HTTP];
const WHOSE = 'import os; print(open("whose").read() if os.path.exists("whose") else "nobody")';

/** Runs `glovebox key …`; what it wrote to stdout. */
async function keyCommand(stateDir: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await runCli(['key', ...args], environment(stateDir));
  expect(code, stderr).toBe(0);
  return stdout.trim();
}

const keyOf = async (stateDir: string, name: string) => await keyCommand(stateDir, 'new', name);
const bearer = (key: string) => ({ headers: { authorization: `Bearer ${key}` } });
type Credentials = ReturnType<typeof bearer>;

/** Status and error code of a request. */
async function refusal(response: Response): Promise<[number, string | undefined]> {
  const text = await response.text();
  return [response.status, text === '' ? undefined : JSON.parse(text).error?.code];
}

let index: IndexServer;
let server: Server;
let cacheDir: string;
let stateDir: string;
let alice: Credentials;
let bob: Credentials;

const get = (path: string, who: Credentials) => fetch(`${server.url}${path}`, who);

beforeAll(async () => {
  index = await IndexServer.start();
  index.add(makeWheel('plain-thing', '1.0'));
  cacheDir = mkdtempSync(join(tmpdir(), 'glovebox-cache-'));
  stateDir = newStateDir();
  [alice, bob] = [bearer(await keyOf(stateDir, 'alice')), bearer(await keyOf(stateDir, 'bob'))];
  const env = {
    GLOVEBOX_AUTH: 'keys',
    GLOVEBOX_INDEX_URL: index.url,
    GLOVEBOX_CACHE_DIR: cacheDir,
    GLOVEBOX_LOG_LEVEL: 'debug',
  };
  server = await startServer({ stateDir, env });
});

afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await index[Symbol.asyncDispose]();
  rmSync(cacheDir, { recursive: true, force: true });
});

describe('two owners', () => {
  test('who use one name have two sessions, over every way in', async () => {
    for (const [who, name] of [
      [alice, 'alice'],
      [bob, 'bob'],
    ] as const) {
      const made = await runPython(server, `open("whose", "w").write("${name}")`, { session_id: 'shared' }, who);
      expect(made).toMatchObject({ status: 'ok', session_id: 'shared', session_created: true });
    }
    for (const [who, name] of [
      [alice, 'alice'],
      [bob, 'bob'],
    ] as const) {
      expect((await runPython(server, WHOSE, { session_id: 'shared' }, who)).stdout).toBe(`${name}\n`);
      for (const [, connect] of CLIENTS) {
        await using client = await connect(server, who);
        expect((await runPythonBy(client, WHOSE, { session_id: 'shared' })).stdout).toBe(`${name}\n`);
      }
    }
    await fetch(`${server.url}/sessions/shared`, { method: 'DELETE', ...bob });
    expect((await runPython(server, WHOSE, { session_id: 'shared' }, alice)).stdout).toBe('alice\n');
    expect((await runPython(server, WHOSE, { session_id: 'shared' }, bob)).stdout).toBe('nobody\n');
  });

  test('who name no session have two default ones', async () => {
    await runPython(server, 'open("whose", "w").write("alice")', {}, alice);
    const bobs = await runPython(server, WHOSE, {}, bob);
    expect(bobs).toMatchObject({ session_id: 'default', session_created: true, stdout: 'nobody\n' });
  });

  test('see their own sessions only', async () => {
    await runPython(server, 'pass', { session_id: 'of-alice' }, alice);
    await runPython(server, 'pass', { session_id: 'of-bob' }, bob);
    const idsOf = async (who: Credentials) => {
      const { sessions } = (await (await get('/sessions', who)).json()) as { sessions: { session_id: string }[] };
      return sessions.map(({ session_id }) => session_id);
    };
    const [alices, bobs] = [await idsOf(alice), await idsOf(bob)];
    expect(alices).toContain('of-alice');
    expect(alices).not.toContain('of-bob');
    expect(bobs).toContain('of-bob');
    expect(bobs).not.toContain('of-alice');
  });

  test.each([
    ['alice', 'bob'],
    ['bob', 'alice'],
  ])('cannot tell a handle of the other from one that never was: that of %s, asked by %s', async (holder) => {
    const [mine, other] = holder === 'alice' ? [alice, bob] : [bob, alice];
    const { session_id: handle } = (await (await post(server, '/sessions', '', mine)).json()) as { session_id: string };
    await runPython(server, 'open("whose", "w").write("mine")', { session_id: handle }, mine);
    const never = `${handle.slice(0, -4)}xxxx`;
    const call = { name: 'execute_python', arguments: { code: 'print(1)' } };
    const asks = (id: string): Promise<Response>[] => [
      get(`/sessions/${id}`, other),
      fetch(`${server.url}/sessions/${id}`, { method: 'DELETE', ...other }),
      post(server, '/execute', { ...call, session_id: id }, other),
      post(server, '/execute', { ...call, arguments: { code: '1', session_id: id } }, other),
      post(server, '/execute', call, { headers: { ...other.headers, 'x-session-id': id } }),
      post(server, '/execute', { name: 'list_installed_packages', arguments: { session_id: id } }, other),
      get(`/sessions/${id}/files`, other),
      get(`/sessions/${id}/files/whose`, other),
      fetch(`${server.url}/sessions/${id}/files/whose`, { method: 'DELETE', ...other }),
      fetch(`${server.url}/sessions/${id}/files/whose`, { method: 'PUT', body: 'theirs', ...other }),
      get(`/sessions/${id}/executions`, other),
      fetch(`${server.url}/sessions/${id}/contexts/c`, { method: 'DELETE', ...other }),
      post(server, '/execute', { name: 'install_dependencies', arguments: { packages: ['x'], session_id: id } }, other),
    ];
    const naming = (id: string) => post(server, '/sessions', { name: id }, other);
    const say = async (id: string) =>
      (await Promise.all((await Promise.all([...asks(id), naming(id)])).map((response) => response.text()))).map(
        (text) => text.replaceAll(id, 'ID'),
      );
    expect(await say(handle)).toEqual(await say(never));
    for (const response of await Promise.all(asks(handle))) {
      expect(await refusal(response)).toEqual([404, 'session_not_found']);
    }
    expect(await refusal(await naming(handle))).toEqual([400, 'invalid_input']);
    expect((await runPython(server, WHOSE, { session_id: handle }, mine)).stdout).toBe('mine\n');
  });

  test('do not reach a background execution of the other', async () => {
    const { execution_id: id } = await runPython(server, 'print("mine")', { background: true }, alice);
    const asks = [get(`/executions/${id}`, bob), fetch(`${server.url}/executions/${id}`, { method: 'DELETE', ...bob })];
    for (const response of await Promise.all(asks)) {
      expect(await refusal(response)).toEqual([404, 'execution_not_found']);
    }
    const { stdout } = (await (await get(`/executions/${id}?wait_s=20`, alice)).json()) as { stdout: string };
    expect(stdout).toBe('mine\n');
  });

  test.each(CLIENTS)('do not reach each other by handle or header over MCP (%s)', async (_name, connect) => {
    const { session_id: handle } = (await (await post(server, '/sessions', '', alice)).json()) as {
      session_id: string;
    };
    const expectUnknown = async (headers: Record<string, string>, args: object) => {
      await using client = await connect(server, { headers: { ...bob.headers, ...headers } });
      const answer = await client.call('execute_python', { code: 'print(1)', ...args });
      expect(answer.isError).toBe(true);
      expect(textOf(answer)).toContain('Unknown or expired session');
      expect(answer._meta?.['glovebox/error']).toMatchObject({ code: 'session_not_found' });
    };
    await expectUnknown({}, { session_id: handle });
    await expectUnknown({ 'x-session-id': handle }, {});
    await using own = await connect(server, alice);
    expect((await runPythonBy(own, 'print(1)', { session_id: handle })).stdout).toBe('1\n');
  });

  test('do not reach each other’s MCP sessions and streams', async () => {
    const initialize = {
      jsonrpc: '2.0',
      id: 0,
      method: 'initialize',
      params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'raw', version: '1' } },
    };
    const accept = { accept: 'application/json, text/event-stream' };
    const opened = await post(server, '/mcp', initialize, { headers: { ...alice.headers, ...accept } });
    await opened.text();
    const id = opened.headers.get('mcp-session-id') ?? '';
    const ask = async (method: string, who: Credentials, session: string) => {
      const headers = { ...who.headers, accept: 'text/event-stream', 'mcp-session-id': session };
      const response = await fetch(`${server.url}/mcp`, { method, headers });
      return [response.status, await response.text()];
    };
    for (const method of ['GET', 'DELETE']) {
      const foreign = await ask(method, bob, id);
      expect(foreign[0]).toBe(404);
      expect(foreign).toEqual(await ask(method, bob, 'never-was'));
    }
    expect((await ask('DELETE', alice, id))[0]).toBe(200);

    const leave = new AbortController();
    const stream = await fetch(`${server.url}/sse`, { ...alice, signal: leave.signal });
    const reader = stream.body?.pipeThrough(new TextDecoderStream()).getReader();
    const endpoint = /data: (\S+)/.exec((await reader?.read())?.value ?? '')?.[1] ?? '';
    expect((await post(server, endpoint, initialize, bob)).status).toBe(404);
    expect((await post(server, endpoint, initialize, alice)).status).toBe(202);
    leave.abort();
  });

  test('share what was downloaded: the second asks the index for no file', async () => {
    const install = async (who: Credentials) =>
      await callTool(server, 'install_dependencies', { packages: ['plain-thing'], session_id: 'packages' }, who);
    expect(await install(alice)).toMatchObject({ status: 'ok' });
    const before = index.count('/files/');
    expect(before).toBeGreaterThan(0);
    const without = await runPython(server, 'import plain_thing', { session_id: 'packages' }, bob);
    expect(without.error).toMatchObject({ name: 'ModuleNotFoundError' });
    expect(await install(bob)).toMatchObject({ status: 'ok', packages: [{ status: 'installed' }] });
    expect(index.count('/files/')).toBe(before);
    for (const owner of ['alice', 'bob']) {
      expect(server.stderr()).toMatch(new RegExp(`package file served owner=${owner} session=packages`));
    }
  });

  test('have their keys in no log line', () => {
    for (const { headers } of [alice, bob]) {
      expect(server.stderr()).not.toContain(headers.authorization.slice('Bearer gbk_'.length));
    }
  });

  test('who are at their caps put nothing of each other to rest', async () => {
    const state = newStateDir();
    const [first, second] = [bearer(await keyOf(state, 'first')), bearer(await keyOf(state, 'second'))];
    const env = {
      GLOVEBOX_AUTH: 'keys',
      GLOVEBOX_MAX_SESSIONS_PER_OWNER: '2',
      GLOVEBOX_MAX_SESSIONS: '3',
      GLOVEBOX_POOL_SIZE: '0',
    };
    await using small = await startServer({ stateDir: state, env });
    const open = async (who: Credentials, name: string) => await refusal(await post(small, '/sessions', { name }, who));
    const stateOf = async (who: Credentials, id: string) =>
      ((await (await fetch(`${small.url}/sessions/${id}`, who)).json()) as { state: string }).state;
    await open(first, 'kept');
    for (const name of ['a', 'b', 'c']) expect((await open(second, name))[0]).toBe(201);
    expect(await stateOf(first, 'kept')).toBe('active');
    expect([await stateOf(second, 'a'), await stateOf(second, 'c')]).toEqual(['hibernated', 'active']);
    const third = bearer(await keyOf(state, 'third'));
    expect(await open(third, 'none')).toEqual([429, 'capacity_exceeded']);
    expect([await stateOf(first, 'kept'), await stateOf(second, 'c')]).toEqual(['active', 'active']);
  });
});

describe('a key', () => {
  test('has its sessions again after a restart', async () => {
    const state = newStateDir();
    const [first, second] = [bearer(await keyOf(state, 'first')), bearer(await keyOf(state, 'second'))];
    const env = { GLOVEBOX_AUTH: 'keys', GLOVEBOX_ON_SHUTDOWN: 'keep', GLOVEBOX_INSTANCE: 'again' };
    const before = await startServer({ stateDir: state, env });
    await runPython(before, 'open("whose", "w").write("first")', { session_id: 'kept' }, first);
    await before.stop();
    await using after = await startServer({ stateDir: state, env: { ...env, GLOVEBOX_ON_SHUTDOWN: 'remove' } });
    expect((await runPython(after, WHOSE, { session_id: 'kept' }, second)).stdout).toBe('nobody\n');
    expect((await runPython(after, WHOSE, { session_id: 'kept' }, first)).stdout).toBe('first\n');
  });

  test('made while the server runs works at once, and never after its end', async () => {
    const carol = bearer(await keyCommand(stateDir, 'new', 'carol', '--expires-days', '1'));
    expect((await get('/sessions', carol)).status).toBe(200);
    const file = join(stateDir, 'keys.json');
    const { keys } = JSON.parse(readFileSync(file, 'utf8'));
    for (const key of keys) if (key.name === 'carol') key.expires_at = new Date().toISOString();
    writeFileSync(`${file}.edited`, JSON.stringify({ keys }), { mode: 0o600 });
    renameSync(`${file}.edited`, file);
    expect(await refusal(await get('/sessions', carol))).toEqual([401, 'unauthorized']);
    expect((await get('/sessions', alice)).status).toBe(200);
    expect(await keyCommand(stateDir, 'list')).toMatch(/carol\.\w+ .*\(expired\)/);
    expect(statSync(file).mode & 0o777).toBe(0o600);
  });

  test.each(CLIENTS)('that is missing or wrong opens nothing over MCP (%s)', async (_name, connect) => {
    await expect(connect(server)).rejects.toThrow(/401|unauthorized/i);
    await expect(connect(server, bearer('gbk_wrong'))).rejects.toThrow(/401|unauthorized/i);
  });

  test.each(CLIENTS)('that is revoked stops to work for a client that is connected (%s)', async (_name, connect) => {
    const dave = bearer(await keyOf(stateDir, 'dave'));
    const client = await connect(server, dave);
    expect((await runPythonBy(client, 'print(1)', { session_id: 'daves' })).stdout).toBe('1\n');
    await keyCommand(stateDir, 'revoke', 'dave');
    const refused = client.call('execute_python', { code: 'print(1)' }, { timeout: 5000 });
    await expect(refused).rejects.toThrow(/401|unauthorized|closed|not connected/i);
    await client[Symbol.asyncDispose]();
  });

  test('that is revoked loses its open streams within a second, and its program ends', async () => {
    const [first, second] = [await keyOf(stateDir, 'erin'), bearer(await keyOf(stateDir, 'erin'))];
    const id = (await keyCommand(stateDir, 'list')).match(/erin\.\w+/)?.[0] ?? '';
    const erin = bearer(first);
    const kept = await fetch(`${server.url}/sse`, second);
    const ends: number[] = [];
    const drain = async (response: Response) => {
      await response.text().catch(() => undefined);
      ends.push(performance.now());
    };
    const call = { name: 'execute_python', session_id: 'long', arguments: { code: 'import time; time.sleep(50)' } };
    const streams = [await fetch(`${server.url}/sse`, erin), await post(server, '/execute/stream', call, erin)];
    const running = async () => {
      const response = await get('/sessions/long', second);
      return ((await response.json()) as { running?: number }).running;
    };
    await expect.poll(running, { timeout: 10_000 }).toBe(1);
    const drained = Promise.all(streams.map(drain));
    await keyCommand(stateDir, 'revoke', id);
    const revokedAt = performance.now();
    await drained;
    for (const end of ends) expect(end - revokedAt).toBeLessThan(1000);
    await expect.poll(running, { timeout: 10_000 }).toBe(0);
    const reader = kept.body?.getReader();
    expect((await reader?.read())?.done).toBe(false);
    expect((await get('/sessions', second)).status).toBe(200);
    await reader?.cancel();
  });
});

describe('a server that asks for keys', () => {
  test('does not start while there is none, and says how to make one', async () => {
    const { code, stderr } = await runCli(['serve'], environment(newStateDir(), { GLOVEBOX_AUTH: 'keys' }));
    expect(code).toBe(1);
    expect(stderr).toMatch(/^glovebox: The key file .*keys\.json has no valid key.*\n.*glovebox key new <name>\n$/);
  });

  test('is not what stdio is: whoever starts that needs none', async () => {
    const { code, stderr } = await runCli(['stdio'], environment(newStateDir(), { GLOVEBOX_AUTH: 'keys' }));
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  });

  test('may listen beyond loopback', async () => {
    const state = newStateDir();
    const frank = bearer(await keyOf(state, 'frank'));
    await using open = await startServer({ stateDir: state, env: { GLOVEBOX_AUTH: 'keys', GLOVEBOX_HOST: '0.0.0.0' } });
    const url = `http://127.0.0.1:${open.port}`;
    expect((await fetch(`${url}/tools`)).status).toBe(401);
    expect(await (await fetch(`${url}/health`)).json()).toEqual({ status: 'ok' });
    expect(await (await fetch(`${url}/health`, frank)).json()).toMatchObject({ status: 'ok', sessions: 0 });
    expect((await runPython({ url }, 'print(1)', {}, frank)).stdout).toBe('1\n');
  });
});
