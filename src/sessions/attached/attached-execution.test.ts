import { describe, expect, test } from 'vitest';
import { REPORT } from '../../../test/support/report.ts';
import { GloveboxError } from '../../errors.ts';
import type { ExecutionEnd, ExecutionOptions, ExecutionRequest } from '../../execution/request.ts';
import { keepAsIs } from '../../lib/reused-memory.ts';
import { BackgroundExecutions } from '../background-executions.ts';
import type { BackgroundRecord, BackgroundRecords } from '../background-records.ts';
import { RecentExecutions } from '../recent-executions.ts';
import { prepareExecution, runCode } from '../run-code.ts';
import { type AttachableSession, type BeginOptions, beginAttached } from './attached-execution.ts';

const LIMITS = {
  ...{ execTimeoutS: 30, maxTimeoutS: 300, memoryMb: 256, diskMb: 64, tmpMb: 32, shmMb: 32, largestFileMb: 256 },
  ...{ pids: 128, outputLimit: 100, outputKeepLimit: 1000, resultLimit: 1000 },
};

/** A session whose programs print this, and end when they are let go or cancelled. */
function newSession(printed = '') {
  const records: BackgroundRecord[] = [];
  const deleted: string[] = [];
  const go = Promise.withResolvers<void>();
  const timeouts: number[] = [];
  const held = new Set<object>();
  const session = {
    ...{ id: 's', owner: 'one', limits: LIMITS, contexts: { names: [] }, recent: new RecentExecutions() },
    background: new BackgroundExecutions({
      session: { id: 's', limits: LIMITS, execute: () => Promise.reject(new Error('unused')) },
      records: {
        write: (record: BackgroundRecord) => void records.push(record),
        remove: () => {},
      } as unknown as BackgroundRecords,
    }),
    files: { delete: async (path: string) => void deleted.push(path) } as unknown as AttachableSession['files'],
    use: () => {
      const hold = { [Symbol.dispose]: () => void held.delete(hold) };
      held.add(hold);
      return hold;
    },
    execute: async (request: ExecutionRequest, options: ExecutionOptions): Promise<ExecutionEnd> => {
      timeouts.push(options.timeoutMs);
      options.onBegin?.();
      await options.onOutput('stdout', Buffer.from(printed), keepAsIs);
      const cancelled = Promise.withResolvers<void>();
      options.signal.addEventListener('abort', () => cancelled.resolve());
      if (options.signal.aborted) cancelled.resolve();
      await Promise.race([go.promise, cancelled.promise]);
      // A background execution has a file from its first byte on; a call has one of long output only.
      const hasFile = printed.length > (request.keep?.inline ?? 0);
      const stdout = { path: 'kept', bytes: printed.length };
      const report = { ...REPORT, ...(hasFile ? { kept: { stdout } } : {}) };
      return options.signal.aborted ? { status: 'cancelled', exitCode: null } : { status: 'ok', exitCode: 0, report };
    },
  } satisfies AttachableSession;
  const begin = (options: BeginOptions = {}) => beginAttached(session, 'code', options);
  const plain = async () => {
    const prepared = prepareExecution(session, 'code', {}, false);
    return await runCode(session, prepared, { signal: new AbortController().signal });
  };
  return { session, records, deleted, timeouts, go: go.resolve, begin, plain, held };
}

describe('an execution that its caller may leave', () => {
  test.each([['short\rlast'], ['x'.repeat(300)]])(
    'has the result of a call, if it ends before (%#)',
    async (printed) => {
      const { begin, plain, go } = newSession(printed);
      go();
      const varying = { executionId: '', durationMs: 0, queuedMs: undefined };
      const result = { ...((await begin().end()) ?? expect.fail()), ...varying };
      const expected = { ...(await plain()), ...varying };
      expect(result).toEqual(expected);
    },
  );

  test('leaves no record, no entry in a list, and no file that a call would not leave', async () => {
    const { session, begin, go, records, deleted, held } = newSession('short');
    go();
    const execution = begin();
    expect(session.background.list()).toEqual([]);
    await execution.end();
    expect(records).toEqual([]);
    expect(deleted).toEqual([`.glovebox/outputs/${execution.id}.stdout`]);
    expect(session.recent.of('one')).toMatchObject([{ isBackground: false, status: 'ok' }]);
    expect(held.size).toBe(0);
  });

  test('is a background execution and a task from the moment that it is left', async () => {
    const { session, begin, go, records, deleted } = newSession('short\rlast');
    const caller = new AbortController();
    const execution = begin({ signal: caller.signal });
    expect(await execution.end(1)).toBeUndefined();
    expect(execution.leave()).toBe(true);
    expect(session.background.list()).toMatchObject([{ id: execution.id, isTask: true, outcome: undefined }]);
    expect(records).toMatchObject([{ id: execution.id, task: true }]);
    expect(session.recent.of('one')).toMatchObject([{ isBackground: true }]);
    caller.abort();
    go();
    await session.background.get(execution.id)?.ended;
    // Readers by offset need each byte; the caller of a tool the last state of each line.
    expect(records.at(-1)?.result).toMatchObject({ status: 'ok', stdout: 'short\rlast' });
    expect(session.background.get(execution.id)?.called).toMatchObject({ status: 'ok', stdout: 'last' });
    expect(deleted).toEqual([]);
  });

  test('ends with its call, if that is cancelled before', async () => {
    const { begin } = newSession();
    const caller = new AbortController();
    const execution = begin({ signal: caller.signal });
    caller.abort();
    expect(await execution.end()).toMatchObject({ status: 'cancelled' });
  });

  test('stays with its caller where too many run in the background', async () => {
    const { session, begin, go } = newSession();
    for (let made = 0; made < 32; made += 1) session.background.start(`${made}`, () => new Promise(() => {}));
    const execution = begin();
    expect(execution.leave()).toBe(false);
    go();
    expect(await execution.end()).toMatchObject({ status: 'ok' });
    expect(session.background.get(execution.id)).toBeUndefined();
  });

  test('ends with its session', async () => {
    const { session, begin } = newSession();
    const execution = begin();
    session.background.cancelAll();
    expect(await execution.end()).toMatchObject({ status: 'cancelled' });
  });

  test('has the time limit of a call', async () => {
    const { begin, go, timeouts } = newSession();
    go();
    await begin().end();
    await begin({ timeoutMs: 5000 }).end();
    expect(timeouts).toEqual([30_000, 5000]);
  });

  test('tells why it could not run', async () => {
    const { session } = newSession();
    const broken = { ...session, execute: () => Promise.reject(new GloveboxError('capacity_exceeded', 'No room.')) };
    await expect(beginAttached(broken, 'code', {}).end()).rejects.toThrow('No room.');
  });
});
