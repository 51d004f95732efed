import { describe, expect, test } from 'vitest';
import { openSession, post, runPython, userOf } from '../support/rest-client.ts';
import { containerOfUser, containersOf, engine, isCluster, type Server, startServer } from '../support/server.ts';

const statusOf = async ({ url }: Server, id: string) => (await fetch(`${url}/sessions/${id}`)).status;
const statesOf = async ({ url }: Server, ...ids: string[]) => {
  const summaries = await Promise.all(ids.map(async (id) => (await fetch(`${url}/sessions/${id}`)).json()));
  return (summaries as { state: string }[]).map(({ state }) => state);
};
const LOST = { session_reset: { reason: 'sandbox_lost', lost: ['files', 'packages', 'background'] } };

/** A program that runs until the file `stop` is there, as soon as it does. */
async function runUntilStopped(server: Server, id: string): Promise<{ stop(): Promise<unknown> }> {
  const code =
    'import os, time\nopen("begun", "w")\nwhile not os.path.exists("stop"): time.sleep(0.02)\nos.unlink("stop"); os.unlink("begun")';
  const running = runPython(server, code, { session_id: id, timeout_s: 40 });
  const look = async () =>
    (await runPython(server, 'import os; print(os.path.exists("begun"))', { session_id: id })).stdout;
  await expect.poll(look, { timeout: 10_000 }).toBe('True\n');
  return {
    stop: async () => {
      await runPython(server, 'open("stop", "w")', { session_id: id });
      return await running;
    },
  };
}

describe('a container that something else takes away', () => {
  test('between calls: the next one works in a new one, and says what was lost, once', async () => {
    await using server = await startServer();
    const id = await openSession(server);
    await runPython(server, 'open("lost", "w")', { session_id: id });
    const container = await containerOfUser(server, await userOf(server, id));
    await container.remove({ force: true });
    const next = await runPython(server, 'import os; print(os.listdir())', { session_id: id });
    expect(next).toMatchObject({ status: 'ok', stdout: '[]\n', session_id: id, ...LOST });
    expect(await runPython(server, 'print(1)', { session_id: id })).not.toHaveProperty('session_reset');
  });

  // A pod has but one way to go.
  test.each(isCluster() ? (['remove'] as const) : (['kill', 'stop', 'remove'] as const))(
    'in the midst of a call, by %s: it crashed, and the next works',
    async (how) => {
      await using server = await startServer({ env: { GLOVEBOX_POOL_SIZE: '1' } });
      const id = await openSession(server);
      const container = await containerOfUser(server, await userOf(server, id));
      const call = runPython(server, 'import time\nprint("before", flush=True)\nopen("begun", "w")\ntime.sleep(60)', {
        session_id: id,
      });
      const look = async () =>
        (await runPython(server, 'import os; print(os.path.exists("begun"))', { session_id: id })).stdout;
      await expect.poll(look, { timeout: 10_000 }).toBe('True\n');
      await (how === 'remove' ? container.remove({ force: true }) : engine().getContainer(container.id)[how]());
      expect(await call).toMatchObject({ status: 'crashed', exit_code: null, stdout: 'before\n', ...LOST });
      expect(await runPython(server, 'print(1)', { session_id: id })).toMatchObject({ status: 'ok', stdout: '1\n' });
      await expect.poll(async () => (await containersOf(server)).length).toBe(2);
    },
  );

  test.skipIf(isCluster())('paused in the midst of a call: it times out, and the next works in a new one', async () => {
    await using server = await startServer({ env: { GLOVEBOX_POOL_SIZE: '1' } });
    const id = await openSession(server);
    const container = engine().getContainer((await containerOfUser(server, await userOf(server, id))).id);
    const call = runPython(server, 'import time; time.sleep(60)', { session_id: id, timeout_s: 2 });
    await container.pause();
    expect(await call).toMatchObject({ status: 'timeout', termination: { by: 'replaced' } });
    expect(await runPython(server, 'print(1)', { session_id: id })).toMatchObject({ status: 'ok', stdout: '1\n' });
    await expect.poll(async () => (await containersOf(server)).length).toBe(2);
  });
});

describe('time', () => {
  test('a session unused for its idle time is closed, and its container removed', async () => {
    await using server = await startServer({ env: { GLOVEBOX_IDLE_TTL_S: '1', GLOVEBOX_POOL_SIZE: '0' } });
    const id = await openSession(server);
    expect(await containersOf(server)).toHaveLength(1);
    await expect.poll(() => statusOf(server, id), { timeout: 10_000 }).toBe(404);
    await expect.poll(() => containersOf(server), { timeout: 5000 }).toEqual([]);
  });

  test('a program that runs for longer than the idle time keeps its session', async () => {
    await using server = await startServer({ env: { GLOVEBOX_IDLE_TTL_S: '1', GLOVEBOX_POOL_SIZE: '0' } });
    const result = await runPython(server, 'import time; time.sleep(3); print("ran")', { session_id: 'long' });
    expect(result).toMatchObject({ status: 'ok', stdout: 'ran\n' });
    expect(await statusOf(server, 'long')).toBe(200);
  });

  test('a session is closed at the end of its lifetime, however much it is used', { timeout: 40_000 }, async () => {
    await using server = await startServer({ env: { GLOVEBOX_MAX_LIFETIME_S: '10', GLOVEBOX_POOL_SIZE: '0' } });
    const id = await openSession(server);
    const use = async () => {
      const body = { name: 'execute_python', arguments: { code: 'print(1)', session_id: id } };
      const { error } = (await (await post(server, '/execute', body)).json()) as { error?: { code: string } };
      return error?.code;
    };
    await expect.poll(use, { timeout: 20_000, interval: 500 }).toBe('session_not_found');
    await expect.poll(() => containersOf(server), { timeout: 5000 }).toEqual([]);
  });
});

describe('number', () => {
  const refusal = async (server: Server, id: string) => {
    const response = await post(server, '/sessions', { name: id });
    return { status: response.status, body: (await response.json()) as object };
  };

  test('the idle session longest unused makes room for one too many, and comes back with its files', async () => {
    await using server = await startServer({ env: { GLOVEBOX_MAX_SESSIONS_PER_OWNER: '2', GLOVEBOX_POOL_SIZE: '0' } });
    for (const id of ['a', 'b', 'c']) {
      await runPython(server, 'import os; open("whose", "w").write(os.environ["ID"])', {
        session_id: id,
        env: { ID: id },
      });
      expect(await containersOf(server)).toHaveLength(id === 'a' ? 1 : 2);
    }
    expect(await statesOf(server, 'a', 'b', 'c')).toEqual(['hibernated', 'active', 'active']);
    const again = await runPython(server, 'print(open("whose").read())', { session_id: 'a' });
    expect(again).toMatchObject({ status: 'ok', stdout: 'a\n' });
    expect(again).not.toHaveProperty('session_reset');
    expect(again).not.toHaveProperty('session_created');
    expect(await statesOf(server, 'a', 'b', 'c')).toEqual(['active', 'hibernated', 'active']);
    expect(await containersOf(server)).toHaveLength(2);
  });

  test('one with live contexts makes room last, and says that it lost them', async () => {
    await using server = await startServer({ env: { GLOVEBOX_MAX_SESSIONS_PER_OWNER: '2', GLOVEBOX_POOL_SIZE: '0' } });
    await runPython(server, 'x = 1', { session_id: 'a', context: 'c' });
    await openSession(server, 'b');
    await openSession(server, 'd');
    expect(await statesOf(server, 'a', 'b', 'd')).toEqual(['active', 'hibernated', 'active']);
    await runPython(server, 'x = 1', { session_id: 'd', context: 'c' });
    await openSession(server, 'e');
    expect(await statesOf(server, 'a', 'd', 'e')).toEqual(['hibernated', 'active', 'active']);
    expect(await runPython(server, 'print(1)', { session_id: 'a' })).toMatchObject({
      stdout: '1\n',
      session_reset: { reason: 'hibernated', lost: ['contexts'] },
    });
  });

  test('it is closed where sessions do not hibernate', async () => {
    const env = { GLOVEBOX_MAX_SESSIONS_PER_OWNER: '1', GLOVEBOX_POOL_SIZE: '0', GLOVEBOX_HIBERNATE_AFTER_S: '0' };
    await using server = await startServer({ env });
    await openSession(server, 'a');
    await openSession(server, 'b');
    expect([await statusOf(server, 'a'), await statusOf(server, 'b')]).toEqual([404, 200]);
    await expect.poll(async () => (await containersOf(server)).length, { timeout: 5000 }).toBe(1);
  });

  test('of hibernated sessions an owner has so many, and the one longest unused goes first', async () => {
    const env = {
      GLOVEBOX_MAX_SESSIONS_PER_OWNER: '1',
      GLOVEBOX_MAX_HIBERNATED_PER_OWNER: '2',
      GLOVEBOX_POOL_SIZE: '0',
    };
    await using server = await startServer({ env });
    for (const id of ['a', 'b', 'c', 'd']) await openSession(server, id);
    await expect.poll(() => statusOf(server, 'a'), { timeout: 5000 }).toBe(404);
    expect(await statesOf(server, 'b', 'c', 'd')).toEqual(['hibernated', 'hibernated', 'active']);
  });

  test.each(['GLOVEBOX_MAX_SESSIONS_PER_OWNER', 'GLOVEBOX_MAX_SESSIONS'])(
    'one too many is refused while all are busy (%s)',
    async (setting) => {
      await using server = await startServer({ env: { [setting]: '2', GLOVEBOX_POOL_SIZE: '0' } });
      const busy = [await runUntilStopped(server, 'a'), await runUntilStopped(server, 'b')];
      expect(await refusal(server, 'c')).toMatchObject({
        status: 429,
        body: {
          error: {
            code: 'capacity_exceeded',
            message: expect.stringContaining('2'),
            hint: expect.stringMatching(/\w/),
          },
        },
      });
      expect(await Promise.all(busy.map(({ stop }) => stop()))).toMatchObject([{ status: 'ok' }, { status: 'ok' }]);
      await openSession(server, 'c');
    },
  );

  test('many at once stay within the limit', async () => {
    await using server = await startServer({ env: { GLOVEBOX_MAX_SESSIONS_PER_OWNER: '2', GLOVEBOX_POOL_SIZE: '0' } });
    await Promise.all([1, 2, 3, 4, 5, 6].map((n) => post(server, '/sessions', { name: `many-${n}` })));
    const { sessions } = (await (await fetch(`${server.url}/sessions`)).json()) as { sessions: { state: string }[] };
    const awake = sessions.filter(({ state }) => state === 'active').length;
    expect(awake).toBeLessThanOrEqual(2);
    await expect.poll(async () => (await containersOf(server)).length, { timeout: 10_000 }).toBe(awake);
  });

  test('two first uses of one name at once make one session', async () => {
    await using server = await startServer({ env: { GLOVEBOX_POOL_SIZE: '0' } });
    const results = await Promise.all(
      [1, 2, 3].map(() => runPython(server, 'import os; print(os.getuid())', { session_id: 'same' })),
    );
    expect(new Set(results.map(({ stdout }) => stdout)).size).toBe(1);
    expect(results.filter(({ session_created }) => session_created)).toHaveLength(1);
    expect(await containersOf(server)).toHaveLength(1);
  });

  test('calls beyond what a session runs at once wait, in order; beyond what may wait they are refused', async () => {
    await using server = await startServer({ env: { GLOVEBOX_CONCURRENCY: '1', GLOVEBOX_POOL_SIZE: '0' } });
    const id = await openSession(server);
    const append = (n: number) =>
      runPython(server, `import time; time.sleep(0.02); open("order", "a").write("${n} ")`, { session_id: id });
    const calls = [0, 1, 2, 3].map(append);
    await Promise.all(calls);
    const { stdout } = await runPython(server, 'print(sorted(open("order").read().split()))', { session_id: id });
    expect(stdout).toBe("['0', '1', '2', '3']\n");
    const call = async (code: string) =>
      await post(server, '/execute', { name: 'execute_python', arguments: { code, session_id: id } });
    const first = call('import time; time.sleep(3)');
    const isRunning = async () => (await fetch(`${server.url}/sessions/${id}`)).json();
    await expect.poll(isRunning).toMatchObject({ running: 1 });
    const answers = await Promise.all(Array.from({ length: 39 }, async () => await call('pass')));
    expect((await first).status).toBe(200);
    const refused = answers.filter(({ status }) => status === 409);
    expect(refused.length).toBe(39 - 32);
    expect(await refused[0]?.json()).toMatchObject({
      error: { code: 'session_busy', hint: expect.stringMatching(/\w/) },
    });
  });
});
