import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { makeWheel } from '../support/distributions.ts';
import { execInside } from '../support/exec-inside.ts';
import { freePort } from '../support/free-port.ts';
import { IndexServer } from '../support/index-server.ts';
import { callTool, type Execution, openSession, post, runCommand, runPython, userOf } from '../support/rest-client.ts';
import {
  containerOfUser,
  containersOf,
  newStateDir,
  processesOf,
  type SeenContainer,
  type Server,
  startServer,
} from '../support/server.ts';

type Followed = Execution & { next: { stdout_offset: number }; started_at: string };

/** Each look takes an engine under load a while. */
const PATIENCE = { timeout: 20_000 };
const ENV = { GLOVEBOX_POOL_SIZE: '0', GLOVEBOX_CHECKPOINT_AFTER_S: '0' };

/** A state directory and a port, so that one server after the other is the same instance. */
async function newPlace(env: Record<string, string> = {}) {
  return { stateDir: newStateDir(), port: await freePort(), env: { ...ENV, ...env } };
}

async function follow(server: Server, id: string, args: object = {}): Promise<Followed> {
  return (await callTool(server, 'get_execution', { execution_id: id, ...args })) as Followed;
}

async function startInBackground(server: Server, session_id: string, code: string, args: object = {}): Promise<string> {
  return (await runPython(server, code, { session_id, background: true, ...args })).execution_id;
}

/** Python: ends the runner and all supervisors when told to, takes the runner's name, and keeps what it is handed. */
const SQUATTER = `
import os, signal, socket, time
if os.fork(): time.sleep(60)
os.setsid()
while not os.path.exists('/tmp/go'): time.sleep(0.01)
own = (os.getpid(), os.getppid())
runners = []
for name in filter(str.isdigit, os.listdir('/proc')):
    if int(name) not in own and b'/opt/glovebox/runner' in open(f'/proc/{name}/cmdline', 'rb').read():
        runners.append(int(name))
for number in (signal.SIGSTOP, signal.SIGKILL):
    for pid in runners: os.kill(pid, number)
listener = socket.socket(socket.AF_UNIX)
while True:
    try:
        listener.bind('\\0glovebox-runner')
        break
    except OSError:
        time.sleep(0.001)
listener.listen()
open('/tmp/bound', 'w').write('taken')
while True:
    caller, _ = listener.accept()
    if socket.recv_fds(caller, 10, 10)[1]: open('/workspace/caught', 'w')
`;

const numbers = (n: number) => Array.from({ length: n }, (_, index) => `${index}\n`).join('');

/** All output of a background execution that ends. */
async function readAll(server: Server, id: string): Promise<string> {
  let [text, offset] = ['', 0];
  for (;;) {
    const { stdout, status, next } = await follow(server, id, { wait_s: 30, stdout_offset: offset });
    text += stdout;
    if (status !== 'running' && stdout === '') return text;
    offset = next.stdout_offset;
  }
}

const hasFile = async (server: Server, id: string, path: string) =>
  (await runPython(server, `import os; print(os.path.exists(${JSON.stringify(path)}))`, { session_id: id })).stdout;

async function containerOf(server: Server, id: string): Promise<{ container: SeenContainer; uid: number }> {
  const uid = await userOf(server, id);
  return { container: await containerOfUser(server, uid), uid };
}

describe('after kill -9 of the server a session goes on', () => {
  test('with files, packages, contexts and background executions, by the same session_id', async () => {
    await using index = await IndexServer.start();
    index.add(makeWheel('plain-thing', '1.0'));
    const cacheDir = mkdtempSync(join(tmpdir(), 'glovebox-cache-'));
    const place = await newPlace({ GLOVEBOX_INDEX_URL: index.url, GLOVEBOX_CACHE_DIR: cacheDir });
    await using first = await startServer(place);
    const id = await openSession(first);
    await runPython(first, 'open("mine", "w").write("here")', { session_id: id });
    await callTool(first, 'install_dependencies', { packages: ['plain-thing'], session_id: id });
    await runPython(first, 'x = [41]', { session_id: id, context: 'c' });
    const ended = await startInBackground(first, id, 'display({"ended": True})\nprint("done")\nraise SystemExit(3)');
    const before = await follow(first, ended, { wait_s: 20 });
    const code = 'import time\nfor n in range(1500):\n  print(n, flush=True)\n  time.sleep(0.003)\ndisplay({"n": n})';
    const running = await startInBackground(first, id, code);
    await expect.poll(async () => (await follow(first, running)).stdout, PATIENCE).toContain('9\n');
    await first.kill();

    await using second = await startServer(place);
    const more = await runPython(second, 'x.append(1); print(open("mine").read(), sum(x))', {
      session_id: id,
      context: 'c',
    });
    expect(more).toMatchObject({ status: 'ok', stdout: 'here 42\n', context: { created: false, alive: true } });
    expect(more).not.toHaveProperty('session_reset');
    const imported = await runPython(second, 'import plain_thing; print(plain_thing.__version__)', { session_id: id });
    expect(imported.stdout).toBe('1.0\n');
    expect(await follow(second, ended)).toEqual(before);
    expect(await follow(second, running)).toMatchObject({ status: 'running', started_at: expect.any(String) });
    expect(await readAll(second, running)).toBe(numbers(1500));
    const result = await follow(second, running);
    expect(result).toMatchObject({ status: 'ok', exit_code: 0, session_id: id, execution_id: running });
    expect(result.results?.[0]?.['text']).toBe("{'n': 1499}");
    expect(result.duration_ms).toBeGreaterThan(4500);
    expect(await containersOf(second)).toHaveLength(1);
    rmSync(cacheDir, { recursive: true, force: true });
  });

  test('and no call with an Idempotency-Key that had begun is run again', async () => {
    const place = await newPlace();
    await using first = await startServer(place);
    const session_id = await openSession(first);
    const send = (server: Server, path: string, key: string, seconds: number) => {
      const code = `open("runs", "a").write("${key} ")\nimport time\ntime.sleep(${seconds})`;
      const body = { name: 'execute_python', arguments: { code, session_id, timeout_s: 600 } };
      return post(server, path, body, { headers: { 'idempotency-key': key } });
    };
    const runs = async (server: Server) =>
      (
        await runPython(server, 'import os; print(open("runs").read() if os.path.exists("runs") else "")', {
          session_id,
        })
      ).stdout;
    expect((await send(first, '/execute', 'ended', 0)).status).toBe(200);
    const lost = send(first, '/execute', 'lost', 600).catch((error: unknown) => error);
    await expect.poll(() => runs(first), PATIENCE).toBe('ended lost \n');
    await first.kill();
    await lost;

    await using second = await startServer(place);
    for (const [key, seconds] of [
      ['ended', 0],
      ['lost', 600],
    ] as const) {
      const answer = await send(second, '/execute', key, seconds);
      const error = { code: 'session_moved', begun: true, hint: expect.stringContaining('use a new key') };
      expect([answer.status, await answer.json()]).toMatchObject([409, { error }]);
    }
    expect((await send(second, '/execute', 'ended', 1)).status).toBe(400);
    const stream = await send(second, '/execute/stream', 'streamed', 0);
    expect(await stream.text()).toContain('event: result');
    await second.kill();

    await using third = await startServer(place);
    const again = await send(third, '/execute/stream', 'streamed', 0);
    expect(await again.text()).toMatch(/^event: error\ndata: .*"session_moved".*"begun":true/);
    expect((await send(third, '/execute', 'new', 0)).status).toBe(200);
    expect(await runs(third)).toBe('ended lost streamed new \n');
  });

  test('and so does a command in the background, which the next server says what it was of', async () => {
    const place = await newPlace();
    await using first = await startServer(place);
    const session_id = await openSession(first);
    const command = 'echo begun; until [ -e go ]; do sleep 0.02; done; echo done; nothing-of-that-name';
    const { execution_id: id } = await runCommand(first, command, { session_id, background: true });
    const missing = await runCommand(first, ['pyton3'], { session_id, background: true });
    const before = await follow(first, missing.execution_id, { wait_s: 20 });
    expect(before).toMatchObject({ status: 'error', exit_code: 127, error: { name: 'CommandNotFound' } });
    await expect.poll(async () => (await follow(first, id)).stdout, PATIENCE).toBe('begun\n');
    await first.kill();

    await using second = await startServer(place);
    expect(await follow(second, missing.execution_id)).toEqual(before);
    const listed = await fetch(`${second.url}/sessions/${session_id}/executions`);
    expect(await listed.json()).toMatchObject({
      executions: [
        { execution_id: id, status: 'running', kind: 'command', code: command },
        { status: 'error', kind: 'command', code: 'pyton3' },
      ],
    });
    await runCommand(second, 'touch go', { session_id });
    expect(await readAll(second, id)).toBe('begun\ndone\n');
    expect(await follow(second, id)).toMatchObject({ status: 'error', exit_code: 127 });
    expect(await (await fetch(`${second.url}/metrics`)).text()).toContain(
      'glovebox_executions_total{kind="command",status="error"} 1',
    );
  });

  test('and a background execution that ended while nobody was there has its result', async () => {
    const place = await newPlace();
    await using first = await startServer(place);
    const id = await openSession(first);
    const code = [
      'import os, time',
      'while not os.path.exists("/tmp/go"): time.sleep(0.01)',
      'for n in range(100_000): print(n)',
      'open("made", "w").write("x")',
      'raise SystemExit(4)',
    ].join('\n');
    const job = await startInBackground(first, id, code);
    const { container, uid } = await containerOf(first, id);
    await first.kill();
    await execInside(container, uid, ['touch', '/tmp/go']);
    const made = async () => (await execInside(container, uid, ['ls', '/workspace'])).includes('made');
    await expect.poll(made, PATIENCE).toBe(true);

    await using second = await startServer(place);
    expect(await follow(second, job, { wait_s: 20 })).toMatchObject({
      status: 'error',
      exit_code: 4,
      files: [{ path: 'made', size: 1 }],
      truncated: {
        stdout: {
          total_bytes: numbers(100_000).length,
          file: expect.stringContaining(job),
          file_bytes: numbers(100_000).length,
        },
      },
    });
    expect(await readAll(second, job)).toBe(numbers(100_000));
  });

  test('and a background execution past its time was ended while nobody was there', async () => {
    const place = await newPlace();
    await using first = await startServer(place);
    const id = await openSession(first);
    const code = 'import subprocess\nprint("began", flush=True)\nsubprocess.run(["sleep", "4322"])';
    const job = await startInBackground(first, id, code, { timeout_s: 6 });
    const { container, uid } = await containerOf(first, id);
    const sleepers = async () => (await processesOf(container, uid)).filter((args) => args === 'sleep 4322');
    await expect.poll(sleepers, PATIENCE).toHaveLength(1);
    await first.kill();
    await expect.poll(sleepers, PATIENCE).toEqual([]);

    await using second = await startServer(place);
    expect(await follow(second, job, { wait_s: 10 })).toMatchObject({
      status: 'timeout',
      exit_code: null,
      stdout: 'began\n',
      termination: { by: 'interrupt' },
      limit: { name: 'timeout_s', value: 6 },
    });
  });

  test('and a background execution keeps its time limit, and can be cancelled', async () => {
    const place = await newPlace();
    await using first = await startServer(place);
    const id = await openSession(first);
    const limited = await startInBackground(first, id, 'import time; time.sleep(60)', { timeout_s: 8 });
    const cancelled = await startInBackground(first, id, 'import time; time.sleep(60)');
    await expect
      .poll(async () => (await (await fetch(`${first.url}/sessions/${id}`)).json()) as object, PATIENCE)
      .toMatchObject({
        running: 2,
      });
    await first.kill();
    await using second = await startServer(place);
    const result = await callTool(second, 'cancel_execution', { execution_id: cancelled });
    expect(result).toMatchObject({ status: 'cancelled', termination: { by: 'interrupt' } });
    const { status, duration_ms } = await follow(second, limited, { wait_s: 20 });
    expect(status).toBe('timeout');
    expect(duration_ms).toBeGreaterThan(7500);
    expect(duration_ms).toBeLessThan(20_000);
  });

  test('and of the calls that were under way nothing runs on', async () => {
    const place = await newPlace();
    await using first = await startServer(place);
    const id = await openSession(first);
    await runPython(first, 'x = 1', { session_id: id, context: 'c' });
    const stubborn =
      'import signal, subprocess\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nsubprocess.Popen(["sleep", "4323"], start_new_session=True)\nopen("begun", "w")\nwhile True: pass';
    const inContext = 'import time\nopen("begun-too", "w")\ntime.sleep(60)';
    const calls = [
      runPython(first, stubborn, { session_id: id }).catch(() => 'cut'),
      runPython(first, inContext, { session_id: id, context: 'c' }).catch(() => 'cut'),
    ];
    await expect.poll(() => hasFile(first, id, 'begun'), PATIENCE).toBe('True\n');
    await expect.poll(() => hasFile(first, id, 'begun-too'), PATIENCE).toBe('True\n');
    const { container, uid } = await containerOf(first, id);
    await first.kill();
    expect(await Promise.all(calls)).toEqual(['cut', 'cut']);
    await using second = await startServer(place);
    const next = await runPython(second, 'print(x)', { session_id: id, context: 'c' });
    expect(next).toMatchObject({ stdout: '1\n' });
    expect(next).not.toHaveProperty('session_reset');
    const left = await processesOf(container, uid);
    expect(left.filter((args) => args.includes('4323'))).toEqual([]);
  });

  test('many times over, and leaves no process, exec or container behind', async () => {
    const place = await newPlace();
    let server = await startServer(place);
    const id = await openSession(server);
    await runPython(server, 'n = 0', { session_id: id, context: 'c' });
    const { container, uid } = await containerOf(server, id);
    const counts: number[] = [];
    for (let n = 1; n <= 4; n += 1) {
      await server.kill();
      server = await startServer(place);
      const { stdout } = await runPython(server, 'n += 1; print(n)', { session_id: id, context: 'c' });
      expect(stdout).toBe(`${n}\n`);
      await expect
        .poll(async () => (await processesOf(container, uid)).filter((args) => args === 'cat'), PATIENCE)
        .toHaveLength(1);
      counts.push((await processesOf(container, uid)).length);
    }
    expect(new Set(counts).size).toBe(1);
    expect(await containersOf(server)).toHaveLength(1);
    await server.stop();
    expect(await containersOf(server)).toEqual([]);
  });
});

describe('an upgrade of the server', () => {
  test('by SIGTERM and to keep its sessions is not seen by contexts and background executions', async () => {
    const place = await newPlace({ GLOVEBOX_ON_SHUTDOWN: 'keep' });
    await using first = await startServer(place);
    const id = await openSession(first);
    await runPython(first, 'x = 1', { session_id: id, context: 'c' });
    const code = 'import time\nfor n in range(1000):\n  print(n, flush=True)\n  time.sleep(0.004)';
    const job = await startInBackground(first, id, code);
    expect(await first.stop()).toEqual({ code: 0, signal: null });
    await using second = await startServer({ ...place, env: ENV });
    expect(await runPython(second, 'print(x)', { session_id: id, context: 'c' })).toMatchObject({ stdout: '1\n' });
    expect(await readAll(second, job)).toBe(numbers(1000));
    expect(await follow(second, job)).toMatchObject({ status: 'ok', exit_code: 0 });
    expect(await second.stop()).toEqual({ code: 0, signal: null });
    expect(await containersOf(second)).toEqual([]);
  });
});

describe('hostile code', () => {
  test('that ends the runner and takes its name gets no channel: its session is cleared, and says so', async () => {
    const place = await newPlace();
    await using first = await startServer(place);
    const [id, other] = [await openSession(first), await openSession(first, 'other')];
    await runPython(first, 'open("mine", "w")', { session_id: id });
    await runPython(first, 'x = 1', { session_id: id, context: 'c' });
    const job = await startInBackground(first, id, SQUATTER);
    const { container, uid } = await containerOf(first, id);
    await first.kill();
    await execInside(container, uid, ['touch', '/tmp/go']);
    const bound = async () => await execInside(container, uid, ['cat', '/tmp/bound']);
    // A word that is not in the path: the error for a file that is missing has that.
    await expect.poll(bound, PATIENCE).toContain('taken');

    await using second = await startServer(place);
    const next = await runPython(second, 'import os; print(os.listdir())', { session_id: id });
    expect(next).toMatchObject({
      status: 'ok',
      session_reset: { reason: 'runner_lost', lost: ['contexts', 'background'] },
    });
    expect(next.stdout).toContain("'mine'");
    expect(next.stdout).not.toContain('caught');
    expect(await follow(second, job)).toMatchObject({ status: 'crashed' });
    expect(await runPython(second, 'print(1)', { session_id: other })).not.toHaveProperty('session_reset');
  });
});

describe('a session whose container is gone at the start', () => {
  test.each(['remove', 'stop'] as const)('by docker %s says so once, and works anew', async (how) => {
    const place = await newPlace();
    await using first = await startServer(place);
    const id = await openSession(first);
    await runPython(first, 'x = 1; open("mine", "w")', { session_id: id, context: 'c' });
    const job = await startInBackground(first, id, 'import time; time.sleep(60)');
    const { container } = await containerOf(first, id);
    await first.kill();
    await (how === 'remove' ? container.remove({ force: true }) : container.stop({ t: 0 }));

    await using second = await startServer(place);
    expect(await follow(second, job)).toMatchObject({ status: 'crashed', session_reset: { reason: 'sandbox_lost' } });
    const next = await runPython(second, 'import os; print(os.listdir())', { session_id: id });
    expect(next).toMatchObject({
      status: 'ok',
      stdout: '[]\n',
      session_id: id,
      session_reset: { reason: 'sandbox_lost', lost: ['files', 'contexts', 'packages', 'background'] },
    });
    expect(next).not.toHaveProperty('session_created');
    expect(await runPython(second, 'print(1)', { session_id: id })).not.toHaveProperty('session_reset');
    expect(await containersOf(second)).toHaveLength(1);
    await second.kill();

    await using third = await startServer(place);
    expect(await runPython(third, 'print(1)', { session_id: id })).not.toHaveProperty('session_reset');
    expect((await post(third, '/sessions', { name: 'more' })).status).toBe(201);
  });
});

describe('a container that goes in the midst of several executions', () => {
  test('is told of once to calls, by the one under way, and to none by what runs in the background', async () => {
    await using server = await startServer({ env: ENV });
    const [busy, quiet] = [await openSession(server), await openSession(server)];
    const wait = (name: string) => `open("${name}", "w")\nimport time\ntime.sleep(60)`;
    for (const id of [busy, quiet]) await startInBackground(server, id, wait('job'));
    const call = runPython(server, wait('call'), { session_id: busy });
    for (const [id, path] of [
      [busy, 'job'],
      [busy, 'call'],
      [quiet, 'job'],
    ] as const)
      await expect.poll(() => hasFile(server, id, path), PATIENCE).toBe('True\n');
    for (const id of [busy, quiet]) await (await containerOf(server, id)).container.remove({ force: true });
    const LOST = { session_reset: { reason: 'sandbox_lost', lost: ['files', 'packages', 'background'] } };
    expect(await call).toMatchObject({ status: 'crashed', ...LOST });
    expect(await runPython(server, 'print(1)', { session_id: busy })).not.toHaveProperty('session_reset');
    expect(await runPython(server, 'print(1)', { session_id: quiet })).toMatchObject({ stdout: '1\n', ...LOST });
    expect(await runPython(server, 'print(1)', { session_id: quiet })).not.toHaveProperty('session_reset');
    expect(await containersOf(server)).toHaveLength(2);
  });
});
