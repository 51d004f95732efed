import { describe, expect, test } from 'vitest';
import { REPORT } from '../../test/support/report.ts';
import type { ExecutionEnd, ExecutionOptions, ExecutionRequest } from '../execution/request.ts';
import type { ExecutionEvent } from '../execution/result.ts';
import { keepAsIs } from '../lib/reused-memory.ts';
import { RecentExecutions } from './recent-executions.ts';
import { type CodeSession, prepareExecution, runCode, type StartOptions } from './run-code.ts';

const LIMITS = {
  ...{ execTimeoutS: 30, maxTimeoutS: 300, memoryMb: 256, diskMb: 64, tmpMb: 32, shmMb: 32, largestFileMb: 256 },
  ...{ pids: 128, outputLimit: 100, outputKeepLimit: 1000, resultLimit: 1000 },
};

/** A session whose programs put this out and end so. */
class FakeSession implements CodeSession {
  readonly id = 's';
  readonly owner = 'one';
  readonly background = { record: () => {} };
  readonly recent = new RecentExecutions();
  readonly limits = LIMITS;
  readonly contexts = { names: ['main'] };
  readonly requests: ExecutionRequest[] = [];
  readonly #end: Partial<ExecutionEnd>;
  readonly #output: readonly (readonly ['stdout' | 'stderr' | 'display', string])[];

  constructor(
    end: Partial<ExecutionEnd> = {},
    ...output: readonly (readonly ['stdout' | 'stderr' | 'display', string])[]
  ) {
    this.#end = end;
    this.#output = output;
  }

  async execute(request: ExecutionRequest, { onOutput, onBegin }: ExecutionOptions): Promise<ExecutionEnd> {
    this.requests.push(request);
    onBegin?.();
    for (const [stream, text] of this.#output) await onOutput(stream, Buffer.from(text), keepAsIs);
    return { status: 'ok', exitCode: 0, report: REPORT, ...this.#end };
  }

  async run(options: StartOptions = {}, isBackground = false) {
    const events: ExecutionEvent[] = [];
    const prepared = prepareExecution(this, 'code', options, isBackground);
    const signal = new AbortController().signal;
    const result = await runCode(this, prepared, { signal, onEvent: (event) => void events.push(event) });
    return { result, events };
  }
}

describe('the result of an execution', () => {
  test('has the last state of each line and what was displayed; its events have all of it', async () => {
    const session = new FakeSession({}, ['stdout', '\r1%\r2%'], ['display', '{"text":"42"}\n'], ['stderr', 'e']);
    const { result, events } = await session.run();
    expect(result).toMatchObject({ sessionId: 's', status: 'ok', exitCode: 0, stdout: '2%', stderr: 'e' });
    expect(result.displays).toEqual([{ text: '42' }]);
    expect(events).toEqual([
      { type: 'stdout', text: '\r1%\r2%' },
      { type: 'display', display: { text: '42' } },
      { type: 'stderr', text: 'e' },
    ]);
    expect(session.requests[0]?.keep?.id).toBe(result.executionId);
  });

  test('says how much of a long text is left out, and which file has it', async () => {
    const file = { path: '.glovebox/outputs/a.stdout', bytes: 300 };
    const session = new FakeSession({ report: { ...REPORT, kept: { stdout: file } } }, ['stdout', 'x'.repeat(300)]);
    const { result } = await session.run();
    expect(result.truncated).toEqual({
      stdout: { leftOutBytes: 200, totalBytes: 300, file: file.path, fileBytes: 300 },
    });
  });

  test('is a status with its limit, not an error, when time runs out', async () => {
    const { result } = await new FakeSession({ status: 'timeout', exitCode: null }).run({ timeoutMs: 1234.5 });
    expect(result).toMatchObject({ status: 'timeout', exitCode: null, limit: { name: 'timeout_s', value: 1.2345 } });
  });

  test('says of code that misses a file in a session that was made for it where that may be', async () => {
    const error = { name: 'FileNotFoundError', value: 'a', traceback: 'a\n' };
    const session = new FakeSession({ status: 'error', exitCode: 1, report: { ...REPORT, error } });
    expect((await session.run({ sessionCreated: true })).result.error?.hint).toContain('The session s is new');
    expect((await session.run()).result.error).toEqual(error);
  });

  test('names the contexts that live when it ran in one', async () => {
    const context = { name: 'main', created: true, alive: true };
    const { result } = await new FakeSession({ context }).run({ context: 'main' });
    expect(result).toMatchObject({ context, contexts: ['main'] });
  });
});

test('in the background all output is kept in files from its first byte, and returned as it came', async () => {
  const session = new FakeSession({}, ['stdout', '\r1%\r2%']);
  const { result } = await session.run({ timeoutMs: 500 }, true);
  expect(result.stdout).toBe('\r1%\r2%');
  expect(session.requests[0]).toMatchObject({ background: { timeout_s: 0.5 }, keep: { inline: 0 } });
});

test('variables that are read at the start of an interpreter get one of their own', async () => {
  const session = new FakeSession();
  await session.run({ env: { PYTHONOPTIMIZE: '1' } });
  await session.run({ env: { A: '1' } });
  expect(session.requests.map((request) => request.new_interpreter)).toEqual([true, undefined]);
});

test.each<[string, StartOptions]>([
  ['a time limit of nothing', { timeoutMs: 0 }],
  ['a time limit beyond that of the settings', { timeoutMs: 300_001 }],
  ['a time limit that is no number', { timeoutMs: Number.NaN }],
  ['a context without a name', { context: '' }],
  ['a context anew, and no context', { resetContext: true }],
  ['a variable without a name', { env: { '': 'x' } }],
  ['a variable that cannot be in force', { env: { PYTHONINSPECT: '1' } }],
])('%s is refused before anything runs', async (_what, options) => {
  const session = new FakeSession();
  await expect(session.run(options)).rejects.toMatchObject({ code: 'invalid_input' });
  expect(session.requests).toEqual([]);
});

describe('a command', () => {
  const prepare = (program: Parameters<typeof prepareExecution>[1], options: StartOptions = {}) =>
    prepareExecution(new FakeSession(), program, options, false);

  test('is asked for without what only code has', () => {
    const { request } = prepare({ command: ['ls', '-l'], cwd: 'data' }, { env: { PYTHONINSPECT: '1' }, stdin: 'in' });
    expect(request).toEqual({
      ...{ kind: 'command', command: ['ls', '-l'], cwd: 'data', env: { PYTHONINSPECT: '1' }, stdin: 'in' },
      keep: expect.anything(),
    });
  });

  test.each([
    [{ command: '' }, {}, 'empty'],
    [{ command: 'ls' }, { context: 'a b' }, 'context'],
    [{ command: 'ls' }, { resetContext: true }, 'context'],
    [{ command: 'ls' }, { args: ['a'] }, 'arguments'],
    [{ command: 'ls' }, { env: { A: 'a\0' } }, 'NUL'],
    [{ command: 'ls' }, { env: { '1A': '' } }, 'no name'],
    [{ command: 'ls' }, { timeoutMs: 1e9 }, 'timeoutMs'],
  ])('is refused where it makes no sense: %j %j', (program, options, why) => {
    expect(() => prepare(program, options)).toThrow(why);
  });

  test('is among the last executions, as one would type it', async () => {
    const session = new FakeSession();
    const prepared = prepareExecution(session, { command: ['echo', 'a b'] }, {}, false);
    await runCode(session, prepared, { signal: new AbortController().signal });
    expect(session.recent.of('one')).toMatchObject([{ kind: 'command', code: "echo 'a b'", status: 'ok' }]);
  });

  test('that failed says why it could not run, and which limit it met', async () => {
    const report = { ...REPORT, command: true, exit_code: 127, commands: ['rg'] };
    const end = { status: 'error', exitCode: 127, report } as const;
    const session = new FakeSession(end, [
      'stderr',
      'x: No space left on device\nbash: line 2: rgg: command not found\n',
    ]);
    const prepared = prepareExecution(session, { command: 'rgg' }, {}, false);
    expect(await runCode(session, prepared, { signal: new AbortController().signal })).toMatchObject({
      error: { name: 'CommandNotFound', hint: 'Did you mean rg?' },
      limit: { name: 'disk_mb' },
    });
  });
});
