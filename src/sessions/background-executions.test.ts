import { describe, expect, it } from 'vitest';
import { RESULT } from '../../test/support/result.ts';
import type { ExecutionResult } from '../execution/result.ts';
import { BackgroundExecutions } from './background-executions.ts';

/** None of these reads output. */
const SESSION = { id: 's', limits: { outputLimit: 100 }, execute: () => Promise.reject(new Error('no sandbox')) };
const open = () => new BackgroundExecutions({ session: SESSION });

describe('background executions', () => {
  it('run until their end and keep what came of them', async () => {
    const jobs = open();
    const work = Promise.withResolvers<ExecutionResult>();
    let begin = () => {};
    const job = jobs.start('a', (_signal, onBegin) => {
      begin = onBegin;
      return work.promise;
    });
    expect([job.outcome, job.status]).toEqual([undefined, 'queued']);
    begin();
    expect(job.status).toBe('running');
    work.resolve({ ...RESULT, status: 'timeout' });
    await job.ended;
    expect(jobs.get('a')?.outcome).toEqual({ result: { ...RESULT, status: 'timeout' } });
    expect(job.status).toBe('timeout');
  });

  it('keep the error of one that could not run', async () => {
    const error = new Error('no engine');
    const job = open().start('a', () => Promise.reject(error));
    await job.ended;
    expect(job.outcome).toEqual({ error });
    expect(job.status).toBe('error');
  });

  it('are told to stop when they are cancelled', async () => {
    const jobs = open();
    const { promise, resolve } = Promise.withResolvers<ExecutionResult>();
    const job = jobs.start('a', (signal) => {
      signal.addEventListener('abort', () => resolve({ ...RESULT, status: 'cancelled' }));
      return promise;
    });
    jobs.cancelAll();
    await job.ended;
    expect(job.outcome).toEqual({ result: { ...RESULT, status: 'cancelled' } });
  });

  it('are refused when too many run, before anything of the refused one runs', () => {
    const jobs = open();
    for (let made = 0; made < 32; made += 1) jobs.start(`${made}`, () => new Promise(() => {}));
    let ran = false;
    const start = () =>
      jobs.start('one-more', async () => {
        ran = true;
        return RESULT;
      });
    expect(start).toThrow(expect.objectContaining({ code: 'session_busy' }));
    expect(ran).toBe(false);
  });

  it('forget the oldest of those that ended', async () => {
    const jobs = open();
    for (let made = 0; made < 60; made += 1) await jobs.start(`${made}`, async () => RESULT).ended;
    expect(jobs.list()).toHaveLength(50);
    expect(jobs.get('9')).toBeUndefined();
    expect(jobs.get('59')).toBeDefined();
  });
});
