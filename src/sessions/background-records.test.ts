import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RESULT } from '../../test/support/result.ts';
import { GloveboxError } from '../errors.ts';
import type { ExecutionResult } from '../execution/result.ts';
import { BackgroundExecutions, fromRecord, toRecord } from './background-executions.ts';
import { BackgroundRecords } from './background-records.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'glovebox-jobs-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

/** None of these reads output. */
const SESSION = { id: 's', limits: { outputLimit: 100 }, execute: () => Promise.reject(new Error('no sandbox')) };

const recordsOf = (session: string) => new BackgroundRecords(directory, 'someone', session);

const open = (session: string) => new BackgroundExecutions({ session: SESSION, records: recordsOf(session) });

/** The executions of a next control plane; what `run` is asked to follow gets that result. */
function recover(session: string, result: ExecutionResult): BackgroundExecutions {
  const jobs = open(session);
  for (const record of recordsOf(session).readAll()) jobs.recover(record, async () => result);
  return jobs;
}

describe('background jobs that are noted', () => {
  it('come back with their outcome, their times and their limit', async () => {
    const jobs = open('s');
    const run = async (_: AbortSignal, onBegin: () => void) => {
      onBegin();
      return RESULT;
    };
    const job = jobs.start('exe_a', run, { timeoutMs: 9000, context: 'c' });
    await job.ended;
    const again = recover('s', RESULT).get('exe_a');
    const { startedAt, begunAt } = job;
    expect(again).toMatchObject({
      id: 'exe_a',
      startedAt,
      begunAt,
      timeoutMs: 9000,
      context: 'c',
      outcome: { result: RESULT },
    });
  });

  it('come back with the error of one that could not run', async () => {
    const error = new GloveboxError('session_busy', 'Too many.', { hint: 'Wait.' });
    await open('s').start('exe_a', () => Promise.reject(error)).ended;
    expect(recover('s', RESULT).get('exe_a')?.outcome).toEqual({ error });
  });

  it('are followed on when they have not ended, and noted again when they have', async () => {
    open('s').start('exe_a', () => new Promise(() => {}));
    const job = recover('s', RESULT).get('exe_a');
    expect(job?.outcome).toBeUndefined();
    await job?.ended;
    expect(recover('s', RESULT).get('exe_a')?.outcome).toEqual({ result: RESULT });
  });

  it('are left as they were noted once they are the next control plane’s', async () => {
    const jobs = open('s');
    const work = Promise.withResolvers<ExecutionResult>();
    const job = jobs.start('exe_a', () => work.promise);
    jobs.abandon();
    work.resolve({ ...RESULT, status: 'cancelled' });
    await job.ended;
    expect(recordsOf('s').readAll()).toMatchObject([{ id: 'exe_a' }]);
    expect(recordsOf('s').readAll()[0]).not.toHaveProperty('result');
  });

  it('are forgotten on disk with the oldest that ended', async () => {
    const jobs = open('s');
    for (let made = 0; made < 55; made += 1) await jobs.start(`exe_${made}`, async () => RESULT).ended;
    expect(recordsOf('s').readAll()).toHaveLength(50);
  });

  it('go on without a note when nothing can be written', async () => {
    writeFileSync(join(directory, 'jobs'), 'no folder');
    const job = open('s').start('exe_a', async () => RESULT);
    await job.ended;
    expect(job.outcome).toEqual({ result: RESULT });
  });

  it('say until when the session is busy', () => {
    const jobs = new BackgroundExecutions({ session: SESSION });
    expect(jobs.busyUntil).toBeUndefined();
    const { startedAt } = jobs.start('a', () => new Promise(() => {}), { timeoutMs: 60_000 });
    expect(jobs.busyUntil?.getTime()).toBe(startedAt.getTime() + 60_000);
  });
});

/** Records as the build of commit 05e987f wrote them, by how their executions ended. */
const OLD = new URL('../../test/support/records/', import.meta.url);

it('a record says what ran, for lists of the next control plane', async () => {
  const program = { kind: 'command', code: 'ls -l' } as const;
  open('s').start('a', () => new Promise(() => {}), { program });
  const record = recordsOf('s').readAll()[0] ?? expect.fail('It cannot be read.');
  expect(record).toMatchObject(program);
  expect(fromRecord(record)).toMatchObject({ program });
});

describe('records of an earlier build', () => {
  const readOld = (status: string) => {
    const text = readFileSync(new URL(status, OLD), 'utf8');
    const { id, started_at } = JSON.parse(text);
    recordsOf('s').write({ id, started_at, timeout_s: 1 });
    const [folder = ''] = readdirSync(join(directory, 'jobs'));
    writeFileSync(join(directory, 'jobs', folder, id), text);
    const record = recordsOf('s').readAll()[0] ?? expect.fail('It cannot be read.');
    return { text, record, execution: fromRecord(record) };
  };

  it.each(readdirSync(OLD))('are read and written as they are: one that ended with "%s"', (status) => {
    const { text, execution } = readOld(status);
    expect(execution.outcome).toMatchObject({ result: { status, sessionId: 'mine' } });
    expect(JSON.stringify(toRecord(execution))).toBe(text);
  });

  it('say all of the result: where it ran, what it displayed and how much was left out', () => {
    const { execution } = readOld('ok');
    expect(execution).toMatchObject({ timeoutMs: 3_600_000, context: 'main', begunAt: expect.any(Date) });
    expect(execution.outcome).toMatchObject({
      result: {
        sessionCreated: true,
        exitCode: 0,
        context: { name: 'main', created: true, alive: true },
        contexts: ['main'],
        files: [{ path: 'made.txt', size: 2 }],
        displays: [{ text: 'x', html: '<b>x</b>' }, { text: '2' }],
        truncated: { stdout: { leftOutBytes: 7, totalBytes: 1031, fileBytes: 1031 } },
        durationMs: expect.any(Number),
        peakMemoryBytes: expect.any(Number),
      },
    });
  });

  it('say of one that ran out of time how it was ended, and by which limit', () => {
    expect(readOld('timeout').execution.outcome).toMatchObject({
      result: {
        exitCode: null,
        error: { name: 'KeyboardInterrupt' },
        termination: { by: 'interrupt', stacks: [{ thread: 'MainThread' }] },
        limit: { name: 'timeout_s', value: 0.5 },
      },
    });
  });
});

describe('records', () => {
  it('that cannot be read are no records', () => {
    recordsOf('s').write({ id: 'exe_a', started_at: new Date().toISOString(), timeout_s: 1 });
    const [folder = ''] = readdirSync(join(directory, 'jobs'));
    writeFileSync(join(directory, 'jobs', folder, 'exe_b'), '{"id":');
    writeFileSync(join(directory, 'jobs', folder, 'exe_c'), '{}');
    expect(recordsOf('s').readAll()).toMatchObject([{ id: 'exe_a' }]);
  });

  it('go with their session, and at the start with sessions that are no more', () => {
    const record = { id: 'exe_a', started_at: new Date().toISOString(), timeout_s: 1 };
    for (const session of ['closed', 'gone', 'here']) recordsOf(session).write(record);
    recordsOf('closed').removeAll();
    BackgroundRecords.sweep(directory, [{ owner: 'someone', session_id: 'here' }]);
    expect(['closed', 'gone', 'here'].map((session) => recordsOf(session).readAll().length)).toEqual([0, 0, 1]);
    expect(existsSync(join(directory, 'jobs'))).toBe(true);
  });
});
