import { cpus } from 'node:os';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { LEGACY_HTTP, MODERN_HTTP, textOf } from '../support/mcp-clients.ts';
import { callTool, type Execution, post, runPython, streamPython } from '../support/rest-client.ts';
import { containersOf, environment, newStateDir, runCli, type Server, startServer } from '../support/server.ts';

const CLIENTS = [...LEGACY_HTTP, ...MODERN_HTTP];
/** Runs until its session has a file `go`, then tells when that was, in ns of the clock that all sandboxes share. */
const HELD = 'import os, time\nwhile not os.path.exists("go"): time.sleep(0.02)\nprint(time.time_ns())';
const CLOCK = 'import time; print(time.time_ns())';

type Credentials = { readonly headers: { readonly authorization: string } };

/** A server that asks for keys, and a key for each of the names. */
async function startFor(names: readonly string[], env: Record<string, string>) {
  const stateDir = newStateDir();
  const owners: Credentials[] = [];
  for (const name of names) {
    const { stdout } = await runCli(['key', 'new', name], environment(stateDir));
    owners.push({ headers: { authorization: `Bearer ${stdout.trim()}` } });
  }
  const server = await startServer({ stateDir, env: { GLOVEBOX_AUTH: 'keys', ...env } });
  return { server, owners: owners as [Credentials, Credentials, Credentials, ...Credentials[]] };
}

const get = (server: Server, path: string, who: Credentials) => fetch(`${server.url}${path}`, who);
const open = (server: Server, name: string, who: Credentials) => post(server, '/sessions', { name }, who);

async function release(server: Server, session: string, who: Credentials): Promise<void> {
  const response = await fetch(`${server.url}/sessions/${session}/files/go`, { method: 'PUT', body: '', ...who });
  expect(response.ok).toBe(true);
}

/** Executions under way and waiting, as the server tells them. */
function loadOf(server: Server, who: Credentials) {
  return expect.poll(
    async () => {
      const { executions } = (await (await get(server, '/health', who)).json()) as {
        executions: { running: number; waiting: number };
      };
      return [executions.running, executions.waiting];
    },
    { timeout: 20_000 },
  );
}

async function refusalOf(response: Response) {
  const { error } = (await response.json()) as { error?: { code: string; message: string; retry_after_s?: number } };
  return { status: response.status, retryAfter: response.headers.get('retry-after'), error };
}

describe('executions', () => {
  let server: Server;
  let alice: Credentials;
  let bob: Credentials;
  let carol: Credentials;

  beforeAll(async () => {
    const started = await startFor(['alice', 'bob', 'carol'], {
      GLOVEBOX_MAX_EXECUTIONS: '3',
      GLOVEBOX_MAX_EXECUTIONS_PER_OWNER: '2',
      GLOVEBOX_MAX_WAITING_PER_OWNER: '3',
    });
    server = started.server;
    [alice, bob, carol] = started.owners;
  });
  afterAll(async () => server[Symbol.asyncDispose]());

  test('run within the limit of an owner and of all, and those beyond wait, in the background too', async () => {
    const alices = [
      runPython(server, HELD, { session_id: 'one' }, alice),
      runPython(server, HELD, { session_id: 'two' }, alice),
    ];
    await loadOf(server, alice).toEqual([2, 0]);
    const { execution_id } = await runPython(server, HELD, { session_id: 'two', background: true }, alice);
    await loadOf(server, alice).toEqual([2, 1]);
    const bobs = runPython(server, HELD, { session_id: 'bobs' }, bob);
    await loadOf(server, alice).toEqual([3, 1]);
    const carols = runPython(server, CLOCK, { session_id: 'carols' }, carol);
    await loadOf(server, alice).toEqual([3, 2]);
    await release(server, 'bobs', bob);
    expect((await bobs).status).toBe('ok');
    expect((await carols).status).toBe('ok');
    await loadOf(server, alice).toEqual([2, 1]);
    for (const session of ['one', 'two']) await release(server, session, alice);
    for (const { status } of await Promise.all(alices)) expect(status).toBe('ok');
    const ended = await callTool(server, 'get_execution', { execution_id, wait_s: 20 }, alice);
    expect(ended).toMatchObject({ status: 'ok' });
    await loadOf(server, alice).toEqual([0, 0]);
  });

  test('begin only as many of an owner as there are processors, while another owner is about', async () => {
    const fresh = Math.max(2, cpus().length);
    const started = await startFor(['flood', 'one'], { GLOVEBOX_MAX_EXECUTIONS_PER_OWNER: String(fresh + 1) });
    await using server = started.server;
    const [flood, one] = started.owners;
    expect((await runPython(server, CLOCK, {}, one)).status).toBe('ok');
    const leave = new AbortController();
    const held = Array.from({ length: fresh + 1 }, (_, at) =>
      runPython(server, HELD, { session_id: `flood-${at}` }, { ...flood, signal: leave.signal }),
    );
    const ended = Promise.allSettled(held);
    await loadOf(server, one).toEqual([fresh, 1]);
    expect((await runPython(server, CLOCK, {}, one)).status).toBe('ok');
    // What has run for a while is no flood.
    await loadOf(server, one).toEqual([fresh + 1, 0]);
    leave.abort();
    await ended;
  });

  test('beyond those that may wait are refused at once, over REST and MCP, with when to come again', async () => {
    const leave = new AbortController();
    const held = Array.from({ length: 5 }, (_, at) =>
      runPython(server, HELD, { session_id: `full-${at % 2}` }, { ...alice, signal: leave.signal }),
    );
    const ended = Promise.allSettled(held);
    await loadOf(server, alice).toEqual([2, 3]);

    const call = { name: 'execute_python', arguments: { code: CLOCK, session_id: 'full-0' } };
    const refused = await refusalOf(await post(server, '/execute', call, alice));
    expect(refused).toMatchObject({ status: 429, error: { code: 'capacity_exceeded' } });
    expect(Number(refused.retryAfter)).toBeGreaterThanOrEqual(1);
    expect(refused.retryAfter).toBe(String(refused.error?.retry_after_s));
    expect(refused.error?.message).toContain('One owner may run 2 executions at once');
    const events = await Array.fromAsync(streamPython(server, call.arguments, alice));
    expect(events.at(-1)).toMatchObject({ event: 'error', data: { error: { retry_after_s: expect.any(Number) } } });
    for (const [, connect] of CLIENTS) {
      await using client = await connect(server, alice);
      const answer = await client.call('execute_python', { code: CLOCK, session_id: 'full-0' });
      expect(answer.isError).toBe(true);
      expect(textOf(answer)).toMatch(/Try again in \d+ seconds?\./);
      expect(answer._meta?.['glovebox/error']).toMatchObject({
        code: 'capacity_exceeded',
        retry_after_s: expect.any(Number),
      });
    }
    expect((await runPython(server, CLOCK, { session_id: 'bobs' }, bob)).status).toBe('ok');
    leave.abort();
    await ended;
    await loadOf(server, alice).toEqual([0, 0]);
  });

  test('that wait hold up no work with files, no lists and no looks at the server', async () => {
    const leave = new AbortController();
    const held = Array.from({ length: 4 }, () =>
      runPython(server, HELD, { session_id: 'looked-at' }, { ...alice, signal: leave.signal }),
    );
    const ended = Promise.allSettled(held);
    await loadOf(server, alice).toEqual([2, 2]);
    for (const path of ['/sessions', '/sessions/looked-at', '/sessions/looked-at/files', '/health', '/tools']) {
      expect((await get(server, path, alice)).status, path).toBe(200);
    }
    const written = await callTool(
      server,
      'write_file',
      { path: 'x', content: 'text', session_id: 'looked-at' },
      alice,
    );
    expect(written).toMatchObject({ session_id: 'looked-at' });
    expect(await callTool(server, 'list_installed_packages', { session_id: 'looked-at' }, alice)).toMatchObject({
      packages: expect.any(Array),
    });
    await loadOf(server, alice).toEqual([2, 2]);
    leave.abort();
    await ended;
    await loadOf(server, alice).toEqual([0, 0]);
  });

  test('that wait tell so, and their wait is no part of their time limit', async () => {
    const held = ['told-1', 'told-2'].map((id) => runPython(server, HELD, { session_id: id }, alice));
    await loadOf(server, alice).toEqual([2, 0]);
    const heard: unknown[] = [];
    const began = performance.now();
    const stream = (async () => {
      const args = { code: CLOCK, session_id: 'told-1', timeout_s: 2 };
      for await (const { event, data } of streamPython(server, args, alice)) {
        if (event === 'progress') heard.push(data);
        if (event === 'result') return (data as { result: Execution }).result;
      }
      throw new Error('no result');
    })();
    await loadOf(server, alice).toEqual([2, 1]);
    await using client = await (CLIENTS.at(-1) as (typeof CLIENTS)[number])[1](server, alice);
    const told = Promise.withResolvers<void>();
    const byMcp = client.call(
      'execute_python',
      { code: CLOCK, session_id: 'told-2', timeout_s: 2 },
      { onprogress: ({ message }) => void (message?.includes('1 of your calls are ahead') && told.resolve()) },
    );
    await told.promise;
    // Longer than either may run.
    await new Promise((resolve) => setTimeout(resolve, 2100));
    for (const id of ['told-1', 'told-2']) await release(server, id, alice);
    const { status, duration_ms, queued_ms = 0 } = await stream;
    expect(status).toBe('ok');
    expect(queued_ms).toBeGreaterThanOrEqual(2000);
    expect(duration_ms + queued_ms).toBeLessThanOrEqual(performance.now() - began);
    expect((await byMcp).structuredContent).toMatchObject({ status: 'ok' });
    expect(heard).toEqual([{ message: 'Waiting for a place to run; 0 of your calls are ahead.', status: 'queued' }]);
    for (const { status } of await Promise.all(held)) expect(status).toBe('ok');
  });

  test('are counted in GET /metrics, which names nobody', async () => {
    const text = await (await get(server, '/metrics', alice)).text();
    expect(text).toContain('glovebox_executions_places 3\n');
    expect(text).toMatch(/^glovebox_executions_total\{kind="code",status="ok"\} [1-9]\d*$/m);
    expect(text).toMatch(/^glovebox_executions_total\{kind="code",status="cancelled"\} [1-9]\d*$/m);
    expect(text).not.toMatch(/alice|bob|carol|told/);
    expect((await fetch(`${server.url}/metrics`)).status).toBe(401);
  });
});

describe('one owner’s flood', () => {
  test('of executions makes each call of another wait for one turn at most', async () => {
    const { server, owners } = await startFor(['flood', 'bob', 'carol'], {
      GLOVEBOX_MAX_EXECUTIONS: '1',
      GLOVEBOX_MEMORY_MB: '128',
    });
    await using _server = server;
    const [flood, bob, carol] = owners;
    const first = runPython(server, HELD, { session_id: 'flood-0' }, flood);
    await loadOf(server, flood).toEqual([1, 0]);
    const order: { readonly who: string; readonly at: bigint }[] = [];
    const call = async (who: string, session: string, credentials: Credentials) => {
      const { stdout } = await runPython(server, CLOCK, { session_id: session }, credentials);
      order.push({ who, at: BigInt(stdout) });
    };
    const all = Array.from({ length: 40 }, (_, at) => call('flood', `flood-${1 + (at % 10)}`, flood));
    await loadOf(server, flood).toEqual([1, 40]);
    for (let at = 0; at < 4; at += 1) all.push(call('bob', 'bobs', bob), call('carol', 'carols', carol));
    await loadOf(server, flood).toEqual([1, 48]);
    await release(server, 'flood-0', flood);
    await Promise.all([first, ...all]);
    const turns = order.sort((a, b) => Number(a.at - b.at)).map(({ who }) => who);
    expect(turns).toHaveLength(48);
    // In each round of three turns each of the three has one, until two of them have nothing left to do.
    for (let at = 0; at < 12; at += 3) expect(turns.slice(at, at + 3).toSorted()).toEqual(['bob', 'carol', 'flood']);
  });

  // Where there are many processors, all of them are started at once.
  test.skipIf(cpus().length > 4)(
    'of new sessions does not make the first of another wait for all of them',
    async () => {
      const { server, owners } = await startFor(['flood', 'bob'], {
        GLOVEBOX_POOL_SIZE: '0',
        GLOVEBOX_MEMORY_MB: '128',
      });
      await using _server = server;
      const [flood, bob] = owners;
      const order: string[] = [];
      const start = async (who: string, name: string, credentials: Credentials) => {
        expect((await open(server, name, credentials)).status).toBe(201);
        order.push(who);
      };
      const burst = 4 * cpus().length + 4;
      const all = Array.from({ length: burst }, (_, at) => start('flood', `flood-${at}`, flood));
      const entered = async () =>
        ((await (await get(server, '/sessions', flood)).json()) as { sessions: unknown[] }).sessions.length;
      await expect.poll(entered).toBe(burst);
      await start('bob', 'bobs', bob);
      await Promise.all(all);
      // At most those that were under way, and those that took their places while it was started itself.
      expect(order.indexOf('bob')).toBeLessThan(burst - 2);
    },
  );
});

describe('memory', () => {
  test('of sandboxes is held to what an owner and all may have, by putting idle sessions of the same owner to rest', async () => {
    const { server, owners } = await startFor(['alice', 'bob', 'carol'], {
      GLOVEBOX_MEMORY_MB: '128',
      GLOVEBOX_MAX_MEMORY_MB: '400',
      GLOVEBOX_MAX_MEMORY_MB_PER_OWNER: '256',
      GLOVEBOX_POOL_SIZE: '2',
    });
    await using _server = server;
    const [alice, bob, carol] = owners;
    const stateOf = async (id: string) =>
      ((await (await get(server, `/sessions/${id}`, alice)).json()) as { state: string }).state;

    for (const name of ['a', 'b', 'c']) expect((await open(server, name, alice)).status).toBe(201);
    expect([await stateOf('a'), await stateOf('b'), await stateOf('c')]).toEqual(['hibernated', 'active', 'active']);

    const held = ['b', 'c'].map((id) => runPython(server, HELD, { session_id: id }, alice));
    await loadOf(server, alice).toEqual([2, 0]);
    const own = await refusalOf(await open(server, 'd', alice));
    expect(own).toMatchObject({ status: 429, retryAfter: '1', error: { code: 'capacity_exceeded' } });
    expect(own.error?.message).toContain('256 MiB for one owner');

    expect((await open(server, 'bobs', bob)).status).toBe(201);
    const others = await refusalOf(await open(server, 'carols', carol));
    expect(others).toMatchObject({ status: 429, retryAfter: '600', error: { retry_after_s: 600 } });
    expect(others.error?.message).toContain('400 MiB in all');
    expect(await containersOf(server)).toHaveLength(3);
    expect(await (await get(server, '/metrics', bob)).text()).toContain(
      `glovebox_memory_limit_bytes ${3 * 128 * 2 ** 20}\n`,
    );

    expect((await fetch(`${server.url}/sessions/bobs`, { method: 'DELETE', ...bob })).status).toBe(204);
    expect((await open(server, 'carols', carol)).status).toBe(201);
    for (const id of ['b', 'c']) await release(server, id, alice);
    for (const { status } of await Promise.all(held)) expect(status).toBe('ok');
    expect(await containersOf(server)).toHaveLength(3);
  });

  test('limits that not one sandbox would fit are refused at the start', async () => {
    const env = environment(newStateDir(), { GLOVEBOX_MAX_MEMORY_MB: '512' });
    const { code, stderr } = await runCli(['serve'], env);
    expect(code).toBe(1);
    expect(stderr).toContain('GLOVEBOX_MAX_MEMORY_MB is 512, and one sandbox may take 1024 MiB.');
  });
});

describe('requests per minute', () => {
  test('are limited for each owner, over REST and MCP, but not looks at whether the server works', async () => {
    const owners = ['alice', 'bob', 'carol', 'dave', 'erin'];
    const started = await startFor(owners, { GLOVEBOX_REQUESTS_PER_MINUTE: '12', GLOVEBOX_POOL_SIZE: '0' });
    await using server = started.server;
    const [alice, bob, ...others] = started.owners;
    for (let at = 0; at < 12; at += 1) expect((await get(server, '/tools', alice)).status).toBe(200);
    const refused = await refusalOf(await get(server, '/tools', alice));
    expect(refused).toMatchObject({ status: 429, error: { code: 'capacity_exceeded' } });
    expect(refused.error?.message).toBe('Each owner may send 12 requests per minute.');
    // One more each five seconds, some of which may have passed.
    expect(['1', '2', '3', '4', '5']).toContain(refused.retryAfter);
    expect((await post(server, '/execute', {}, alice)).status).toBe(429);
    expect((await get(server, '/health', alice)).status).toBe(200);
    expect((await get(server, '/health?deep=1', alice)).status).toBe(429);
    expect((await get(server, '/tools', bob)).status).toBe(200);
    expect((await fetch(`${server.url}/health`)).status).toBe(200);
    for (const [at, who] of others.entries()) {
      const [, connect] = [CLIENTS[0], CLIENTS[1], CLIENTS.at(-1)][at] as (typeof CLIENTS)[number];
      await using client = await connect(server, who);
      const floods = Array.from({ length: 13 }, () => client.list());
      const reasons = (await Promise.allSettled(floods)).flatMap((call) =>
        call.status === 'rejected' ? [String(call.reason)] : [],
      );
      expect(reasons.length).toBeGreaterThan(0);
      for (const reason of reasons) expect(reason).toMatch(/429|requests per minute/);
    }
  });
});
