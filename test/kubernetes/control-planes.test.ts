import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { Counting } from '../support/counting.ts';
import { freePort } from '../support/free-port.ts';
import { post } from '../support/rest-client.ts';
import type { Server } from '../support/server.ts';
import { runAgainIn as again, callIn as call, PATIENT, runIn as run, ServerGroup } from '../support/server-group.ts';
import { installRecords } from '../support/session-records.ts';
import { openStorage } from '../support/storage.ts';
import { openTestNamespace, type TestNamespace } from '../support/test-namespace.ts';
import { startToolServer, textResult } from '../support/tool-server.ts';

/** How a call ends that a stop is in the way of: it is told that it had begun, or its connection breaks. */
const TOLD = ['session_moved', 'engine_unavailable', 'ECONNRESET', 'UND_ERR_SOCKET'];

let namespace: TestNamespace;
let group: ServerGroup;

beforeAll(async () => {
  namespace = await openTestNamespace('planes');
  await installRecords(namespace.client);
});
afterAll(async () => await namespace[Symbol.asyncDispose]());

beforeEach(() => {
  group = new ServerGroup(namespace, { GLOVEBOX_LEASE_S: '15' });
});
afterEach(async () => await group[Symbol.asyncDispose]());

const start = async (env?: Readonly<Record<string, string>>) => await group.start(env);

describe('a session whose holder', () => {
  test('was killed goes on at another server, with its contexts', async () => {
    const [first, second] = [await start(), await start()];
    await run(first, 'x = 7');
    expect((await run(second, 'print(x)')).stdout).toBe('7\n');
    await first.kill();
    const { stdout, session_reset: reset } = await again(second, 'print(x)');
    expect([stdout, reset]).toEqual(['7\n', undefined]);
  });

  test('was killed after it hibernated wakes at another server, with its files, where archives are in a bucket', async () => {
    await using storage = await openStorage();
    const env = { ...storage.env, GLOVEBOX_HIBERNATE_AFTER_S: '1' };
    const [first, second] = [await start(env), await start(env)];
    const file = (server: Server) => `${server.url}/sessions/work/files/kept.txt`;
    expect((await fetch(file(first), { method: 'PUT', body: 'of the first' })).status).toBe(201);
    const state = async () => ((await (await fetch(`${first.url}/sessions/work`)).json()) as { state: string }).state;
    await expect.poll(state, PATIENT).toBe('hibernated');
    await first.kill();
    const { stdout } = await again(second, 'print(open("kept.txt").read())');
    expect(stdout).toBe('of the first\n');
  });

  test('was stopped in order goes on at another server at once', async () => {
    const [first, second] = [await start(), await start()];
    await run(first, 'x = 7');
    expect((await first.stop()).code).toBe(0);
    const { stdout, session_reset: reset } = await run(second, 'print(x)');
    expect([stdout, reset]).toEqual(['7\n', undefined]);
    const pods = await namespace.podNames();
    expect((await fetch(`${second.url}/sessions/work`, { method: 'DELETE' })).status).toBe(204);
    await expect.poll(async () => (await namespace.podNames()).length, PATIENT).toBe(pods.length - 1);
  });

  test('slept past its lease goes on at another server, and nothing of it is removed once that one wakes', async () => {
    const [first, second] = [await start(), await start()];
    await run(first, 'x = 7');
    const pods = await namespace.podNames();
    process.kill(first.pid, 'SIGSTOP');
    try {
      expect((await again(second, 'x += 1; print(x)')).stdout).toBe('8\n');
    } finally {
      process.kill(first.pid, 'SIGCONT');
    }
    expect((await again(first, 'print(x)')).stdout).toBe('8\n');
    expect((await run(second, 'print(x)')).stdout).toBe('8\n');
    expect(await namespace.podNames()).toEqual(pods);
  });

  test('was killed is claimed by one of two servers that are asked at the same time', async () => {
    const [first, second, third] = [await start(), await start(), await start()];
    await run(first, 'x = 0');
    await first.kill();
    const both = await Promise.all([again(second, 'x += 1; print(x)'), again(third, 'x += 1; print(x)')]);
    expect(new Set(both.map(({ stdout }) => stdout)).size).toBe(2);
    const seen = await Promise.all([second, third].map((server) => run(server, 'print(x)')));
    expect(new Set(seen.map(({ stdout }) => stdout)).size).toBe(1);
  });
});

test('a background execution goes on to call tools once its server was killed, and its result is known later', async () => {
  let calls = 0;
  await using tools = await startToolServer({
    tools: () => [
      {
        name: 'next',
        run: () => {
          calls += 1;
          return textResult(String(calls));
        },
      },
    ],
  });
  const file = join(mkdtempSync(join(tmpdir(), 'glovebox-tools-')), 'tools.json');
  const count = { url: tools.url, owners: ['*'], default: true, approve: 'never', max_calls: 1000 };
  writeFileSync(file, JSON.stringify({ mcpServers: { count } }));
  const env = { GLOVEBOX_TOOLS: file };
  try {
    const [first, second] = [await start(env), await start(env)];
    // The call that is under way at the kill may fail.
    const code = `import os, time, tools
while not os.path.exists("stop"):
    try:
        tools.count.next()
    except Exception as error:
        print(error)
    time.sleep(0.1)`;
    const body = { name: 'execute_python', arguments: { session_id: 'work', code, background: true, timeout_s: 120 } };
    const { result } = (await (await post(first, '/execute', body)).json()) as { result: { execution_id: string } };
    await expect.poll(() => calls, PATIENT).toBeGreaterThan(2);
    await first.kill();
    const before = calls;
    await again(second, 'x = 1');
    await expect.poll(() => calls, PATIENT).toBeGreaterThan(before + 2);
    await run(second, 'open("stop", "w").close()');
    const status = async (server: Server) => {
      const answer = await fetch(`${server.url}/executions/${result.execution_id}`);
      return ((await answer.json()) as { status: string }).status;
    };
    await expect.poll(() => status(second), PATIENT).toBe('ok');
  } finally {
    rmSync(dirname(file), { recursive: true });
  }
});

test('a call whose server was killed is not run again where it is sent a second time with its key', async () => {
  const [first, second] = [await start(), await start()];
  await run(first, 'open("runs", "w").close()');
  const code = 'import time\nopen("runs", "a").write("x")\ntime.sleep(60)';
  const body = { name: 'execute_python', arguments: { session_id: 'work', code } };
  const send = (server: Server) => post(server, '/execute', body, { headers: { 'idempotency-key': 'once' } });
  const lost = send(first).catch((error: unknown) => error);
  const seen = async () => (await run(second, 'print(open("runs").read())')).stdout;
  await expect.poll(seen, PATIENT).toBe('x\n');
  await first.kill();
  await lost;
  await again(second, 'x = 1');
  const answer = await send(second);
  expect([answer.status, await answer.json()]).toMatchObject([409, { error: { code: 'session_moved' } }]);
  expect(await seen()).toBe('x\n');
});

test('a server at the address of one that has left is reached by the others', async () => {
  const port = { GLOVEBOX_PEER_PORT: String(await freePort()) };
  const [stays, leaves] = [await start(), await start(port)];
  await run(leaves, 'x = 1');
  expect((await run(stays, 'print(x)')).stdout).toBe('1\n');
  expect((await leaves.stop()).code).toBe(0);
  const follows = await start(port);
  await run(follows, 'x = 2', 'later');
  expect((await run(stays, 'print(x)', 'later')).stdout).toBe('2\n');
});

test('two servers that make a session of one name at the same time make one', async () => {
  const [first, second] = [await start(), await start()];
  const both = await Promise.all([call(first, 'x = 1'), call(second, 'x = 2')]);
  expect(both.map(({ result, error }) => result?.status ?? error?.code).toSorted()).toEqual(['ok', 'ok']);
  const seen = await Promise.all([first, second].map((server) => again(server, 'print(x)')));
  expect(new Set(seen.map(({ stdout }) => stdout)).size).toBe(1);
});

test('an upgrade of all servers under load fails no call but those in its way, and loses nothing', async () => {
  const serving = [await start(), await start()];
  const counts = Array.from({ length: 4 }, (_, at) => new Counting(serving, `count-${at}`));
  /** Waits until each session was answered some more. */
  const goOn = async () => {
    const before = counts.map(({ answered }) => answered);
    const grown = () => counts.every(({ answered }, at) => answered > (before[at] ?? 0) + 5);
    await expect.poll(grown, PATIENT).toBe(true);
  };
  try {
    for (let replaced = 0; replaced < 2; replaced += 1) {
      await goOn();
      const [next, former] = [await start(), serving.shift()];
      serving.push(next);
      expect((await former?.stop())?.code).toBe(0);
    }
    await goOn();
  } finally {
    await Promise.all(counts.map((count) => count.end()));
  }
  expect(counts.flatMap(({ violations }) => violations)).toEqual([]);
  const unknown = counts.flatMap((count) => count.unknown);
  expect(unknown.filter((how) => !TOLD.includes(how))).toEqual([]);
  expect(unknown.length).toBeLessThanOrEqual(2 * counts.length);
});
