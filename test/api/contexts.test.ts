import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { expectUsable, LADDER_MS, openVictim, type Victim } from '../hostile/setup.ts';
import { makeWheel } from '../support/distributions.ts';
import { IndexServer } from '../support/index-server.ts';
import { LEGACY_HTTP, runPythonBy, STDIO, textOf } from '../support/mcp-clients.ts';
import { closeSession, type ErrorAnswer, type Execution, post, streamPython } from '../support/rest-client.ts';
import { containerOfUser, containersOf, processesOf, type Server, startServer } from '../support/server.ts';

const LOST = { reason: 'context_ended', lost: ['contexts'] };
let index: IndexServer;
let server: Server;
let cacheDir: string;
let victim: Victim;

beforeAll(async () => {
  index = await IndexServer.start();
  index.add(makeWheel('plain-thing', '1.0'));
  cacheDir = mkdtempSync(join(tmpdir(), 'glovebox-cache-'));
  const env = { GLOVEBOX_MEMORY_MB: '768', GLOVEBOX_INDEX_URL: index.url, GLOVEBOX_CACHE_DIR: cacheDir };
  server = await startServer({ env });
  victim = await openVictim(server);
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await index[Symbol.asyncDispose]();
  rmSync(cacheDir, { recursive: true, force: true });
});

/** Runs a cell with time for its context to begin. */
const cell = (code: string, args: Record<string, unknown> = {}, { run }: Victim = victim) =>
  run(code, { context: 'main', timeout_s: 20, ...args });
const resultsOf = ({ results = [] }: Execution) => results.map(({ text }) => text);
const sessionOf = async (id: string) =>
  (await (await fetch(`${server.url}/sessions/${id}`)).json()) as { contexts: string[] };

describe('a context', () => {
  test('keeps variables, imports and the working directory, and its first result says that it is new', async () => {
    const first = await cell('import math, os\nx = 41\nos.mkdir("/tmp/there")\nos.chdir("/tmp/there")');
    expect(first).toMatchObject({ status: 'ok', context: { name: 'main', created: true, alive: true } });
    const second = await cell('print(math.floor(x + 1.5), os.getcwd())');
    expect(second).toMatchObject({ stdout: '42 /tmp/there\n', context: { created: false, alive: true } });
    expect(second).not.toHaveProperty('session_reset');
  });

  test('gives the last expression as a result, waits for top-level await, and runs commands and questions', async () => {
    expect(resultsOf(await cell('y = 20\ny + 1'))).toEqual(['21']);
    expect(resultsOf(await cell('import asyncio\nawait asyncio.sleep(0, "awaited")'))).toEqual(["'awaited'"]);
    expect((await cell('!echo from the shell')).stdout).toBe('from the shell\n');
    expect((await cell('len?')).stdout).toContain('Return the number of items');
  });

  test('imports at once what %pip install brought', async () => {
    const installed = await cell('%pip install plain-thing\nimport plain_thing\nplain_thing.__version__');
    expect(resultsOf(installed), installed.stdout + installed.stderr).toEqual(["'1.0'"]);
  });

  test('shows a Python error from its own line on, and goes on', async () => {
    const { error, status, stderr } = await cell('z = 5\n1 / 0');
    expect({ status, name: error?.name }).toEqual({ status: 'error', name: 'ZeroDivisionError' });
    expect(stderr).toMatch(/^Traceback.*\n {2}File "<cell \d+ of main>", line 2/);
    expect(resultsOf(await cell('z'))).toEqual(['5']);
  });

  test('has a standard input of its own in each call', async () => {
    expect((await cell('print(input())', { stdin: 'one\nleft over\n' })).stdout).toBe('one\n');
    expect((await cell('import sys; print(repr(sys.stdin.read()))')).stdout).toBe("''\n");
  });

  test('is apart from another, and both are listed with the session and in results', async () => {
    await cell('x = "main"');
    const other = await cell('x = "other"', { context: 'other' });
    expect(other.contexts).toEqual(['main', 'other']);
    expect(resultsOf(await cell('x'))).toEqual(["'main'"]);
    expect((await sessionOf(victim.id)).contexts).toEqual(['main', 'other']);
  });

  test('that is reset begins anew, and nothing is told as lost', async () => {
    const anew = await cell('"x" in dir()', { reset_context: true });
    expect(resultsOf(anew)).toEqual(['False']);
    expect(anew).toMatchObject({ context: { created: true } });
    expect(anew).not.toHaveProperty('session_reset');
  });

  test('ends by DELETE, after a call that is under way in it', async () => {
    const first = cell('import time\nmarked = 1\nopen("begun", "w")\ntime.sleep(0.5)', { context: 'brief' });
    await expect
      .poll(async () => (await victim.run('import os; print(os.path.exists("begun"))')).stdout, { timeout: 10_000 })
      .toBe('True\n');
    const gone = await fetch(`${server.url}/sessions/${victim.id}/contexts/brief`, { method: 'DELETE' });
    expect([gone.status, (await first).status]).toEqual([204, 'ok']);
    expect((await sessionOf(victim.id)).contexts).not.toContain('brief');
    const next = await cell('"marked" in dir()', { context: 'brief' });
    expect(next).toMatchObject({ context: { created: true }, results: [{ text: 'False' }] });
    expect(next).not.toHaveProperty('session_reset');
  });

  test('tells a cell’s output as it comes', async () => {
    const code =
      'import os, time\nprint("first")\nwhile not os.path.exists("/workspace/go-on"): time.sleep(0.01)\n"last"';
    const told: [string, unknown][] = [];
    for await (const { event, data } of streamPython(server, { code, context: 'main', session_id: victim.id })) {
      told.push([event, data]);
      if (event === 'stdout') await victim.run('open("go-on", "w")');
    }
    expect(told.slice(1, -1)).toEqual([
      ['stdout', { text: 'first\n' }],
      ['display', { result: { text: "'last'" } }],
    ]);
  });
});

describe('calls of one context', () => {
  test('at once run one after the other, in order', async () => {
    await cell('seen = []');
    await Promise.all([1, 2, 3].map((n) => cell(`import time\ntime.sleep(0.1)\nseen.append(${n})\nseen.append(${n})`)));
    expect(resultsOf(await cell('seen'))).toEqual(['[1, 1, 2, 2, 3, 3]']);
  });

  test('beyond the queue are refused as busy, by the name of the context', async () => {
    const first = cell('import os, time\nwhile not os.path.exists("/workspace/enough"): time.sleep(0.01)');
    const call = { name: 'execute_python', arguments: { code: '1', context: 'main', session_id: victim.id } };
    const answers = Array.from({ length: 34 }, () => post(server, '/execute', call));
    const { status, body } = await Promise.race(
      answers.map(async (answer) => {
        const response = await answer;
        return { status: response.status, body: (await response.json()) as ErrorAnswer };
      }),
    );
    expect(status).toBe(409);
    expect(body.error).toMatchObject({ code: 'session_busy', message: expect.stringContaining('context main') });
    await victim.run('open("enough", "w")');
    await first;
    const statuses = (await Promise.all(answers)).map((response) => response.status);
    expect(statuses.filter((code) => code === 200).length).toBeGreaterThanOrEqual(32);
  });
});

describe('a context that runs out of time', () => {
  test('is interrupted, says where it was, and keeps its state', async () => {
    await cell('kept = 7');
    const late = await cell('import time\ndef wait():\n    time.sleep(60)\nwait()', { timeout_s: 0.5 });
    expect(late).toMatchObject({
      status: 'timeout',
      context: { alive: true },
      termination: {
        by: 'interrupt',
        stacks: [
          {
            thread: 'MainThread',
            frames: [/<module>/, /line 3, in wait$/].map((frame) => expect.stringMatching(frame)),
          },
        ],
      },
    });
    expect(late).not.toHaveProperty('session_reset');
    expect(resultsOf(await cell('kept'))).toEqual(['7']);
  });

  test('before it has begun is interrupted all the same, and is there for the next call', async () => {
    const early = await cell('import time\ntime.sleep(60)', { context: 'early', timeout_s: 0.2 });
    expect(early).toMatchObject({ status: 'timeout', termination: { by: 'interrupt' }, context: { alive: true } });
    expect(await cell('1', { context: 'early' })).not.toHaveProperty('session_reset');
  });

  test('is killed if its code ignores that; this result and the next say what is lost, and that one works', async () => {
    const code = 'while True:\n    try:\n        while True: pass\n    except KeyboardInterrupt: pass';
    const killed = await cell(code, { timeout_s: 0.5 });
    expect(killed).toMatchObject({ status: 'timeout', termination: { by: 'kill' }, context: { alive: false } });
    expect(killed.session_reset).toEqual(LOST);
    expect(killed.duration_ms).toBeLessThan(500 + LADDER_MS);
    const next = await cell('"kept" in dir()');
    expect(next).toMatchObject({ status: 'ok', context: { created: true }, session_reset: LOST });
    expect(resultsOf(next)).toEqual(['False']);
    expect(await cell('1')).not.toHaveProperty('session_reset');
  });
});

describe('code that ends its context', () => {
  test.each([
    ['os._exit', 'import os\nos._exit(3)', { status: 'error', exit_code: 3 }],
    ['a segmentation fault', 'import ctypes\nctypes.string_at(0)', { status: 'crashed', signal: 'SIGSEGV' }],
    [
      'all memory',
      'b = []\nwhile True: b.append(bytearray(1 << 24))',
      { status: 'out_of_memory', limit: { name: 'memory_mb' } },
    ],
    ['a kill of its supervisor', 'import os, time\nos.kill(os.getppid(), 9)\ntime.sleep(60)', { status: 'crashed' }],
    ['a kill of all', 'import os, time\ntime.sleep(0.5)\nos.kill(-1, 9)\ntime.sleep(60)', { status: 'crashed' }],
  ])('by %s says so, and the next call begins a new one', async (_means, code, end) => {
    await cell('kept = 1');
    const ended = await cell(`print("before")\n${code}`);
    expect(ended).toMatchObject({ ...end, stdout: 'before\n', context: { name: 'main', alive: false } });
    expect(ended.session_reset?.lost).toContain('contexts');
    const next = await cell('"kept" in dir()');
    expect(next).toMatchObject({ status: 'ok', context: { created: true }, results: [{ text: 'False' }] });
    expect(next.session_reset).toEqual(LOST);
    await expect.poll(victim.leftovers, { timeout: 5000 }).toEqual([]);
    await expectUsable(victim);
  });

  test('is not what recurses too deeply or calls exit: the state stays', async () => {
    await cell('kept = 8');
    const { status, error } = await cell('def f(): f()\nf()');
    expect({ status, name: error?.name }).toEqual({ status: 'error', name: 'RecursionError' });
    expect(await cell('exit(3)')).toMatchObject({ status: 'error', exit_code: 3, context: { alive: true } });
    expect(resultsOf(await cell('kept'))).toEqual(['8']);
  });

  test('is not a fresh execution that is killed beside it', async () => {
    await cell('kept = 9');
    const stubborn = 'import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\ntime.sleep(60)';
    const killed = await victim.run(stubborn, { timeout_s: 0.3 });
    expect(killed).toMatchObject({ status: 'timeout', termination: { by: 'kill' } });
    expect(killed).not.toHaveProperty('session_reset');
    expect(resultsOf(await cell('kept'))).toEqual(['9']);
  });
});

test('the end of a session ends its contexts', async () => {
  const other = await openVictim(server);
  await cell('import subprocess\nsubprocess.Popen(["sleep", "1235"])', {}, other);
  const container = await containerOfUser(server, other.uid);
  expect(await processesOf(container, other.uid)).toContain('sleep 1235');
  expect((await closeSession(server, other.id)).status).toBe(204);
  expect((await containersOf(server)).map(({ Id }) => Id)).not.toContain(container.id);
});

test('a seventeenth context is refused with the names of the others; an ended one makes room', async () => {
  const many = await openVictim(server);
  for (let n = 1; n <= 16; n += 1) expect((await cell('1', { context: `c${n}` }, many)).status).toBe('ok');
  const call = { name: 'execute_python', arguments: { code: '1', context: 'c17', session_id: many.id } };
  const refused = await post(server, '/execute', call);
  const { error } = (await refused.json()) as ErrorAnswer;
  expect(refused.status).toBe(429);
  expect(error).toMatchObject({ code: 'capacity_exceeded', hint: expect.stringContaining('c1, c2') });
  await fetch(`${server.url}/sessions/${many.id}/contexts/c4`, { method: 'DELETE' });
  expect((await post(server, '/execute', call)).status).toBe(200);
  await closeSession(server, many.id);
});

test.each([
  [{ context: 'two words' }, 'letters'],
  [{ context: 'x'.repeat(65) }, '64'],
  [{ context: '../x' }, 'letters'],
  [{ reset_context: true }, 'say which in "context"'],
])('the arguments %j are refused with what to do', async (args, said) => {
  const response = await post(server, '/execute', { name: 'execute_python', arguments: { code: '1', ...args } });
  const { error } = (await response.json()) as ErrorAnswer;
  expect([response.status, error.code]).toEqual([400, 'invalid_input']);
  expect(`${error.message} ${error.hint}`).toContain(said);
});

test.each([
  ...LEGACY_HTTP.slice(0, 2).map(([name, connect]) => [name, () => connect(server)] as const),
  ...STDIO.slice(0, 1).map(([name, connect]) => [`${name}, stdio`, () => connect()] as const),
])('a client (%s) continues its context between calls, and the text names it and its state', async (_name, connect) => {
  await using client = await connect();
  const first = await client.call('execute_python', { code: 'x = 5', context: 'notes' });
  expect(textOf(first)).toMatch(/^\[context\] notes \(new\)$/m);
  const second = await client.call('execute_python', { code: 'x * 2', context: 'notes' });
  expect(textOf(second)).toMatch(/^\[result\] 10$/m);
  expect(textOf(second)).toMatch(/^\[context\] notes$/m);
  const ended = await client.call('execute_python', { code: 'import os; os._exit(1)', context: 'notes' });
  expect(textOf(ended)).toMatch(
    /^\[context\] notes \(ended: its variables are gone\)\n\[session_reset\] .* context notes/m,
  );
  expect(await runPythonBy(client, 'pass')).not.toHaveProperty('context');
});
