import { describe, expect, it } from 'vitest';
import { BackgroundExecutions, statusOf } from './background-executions.ts';

describe('background jobs', () => {
  it('run until their end and keep what came of them', async () => {
    const jobs = new BackgroundExecutions();
    const work = Promise.withResolvers<Record<string, unknown>>();
    let begin = () => {};
    const job = jobs.start('a', (_signal, onBegin) => {
      begin = onBegin;
      return work.promise;
    });
    expect([job.outcome, statusOf(job)]).toEqual([undefined, 'queued']);
    begin();
    expect(statusOf(job)).toBe('running');
    work.resolve({ status: 'timeout' });
    await job.ended;
    expect(jobs.get('a')?.outcome).toEqual({ result: { status: 'timeout' } });
    expect(statusOf(job)).toBe('timeout');
  });

  it('keep the error of one that could not run', async () => {
    const error = new Error('no engine');
    const job = new BackgroundExecutions().start('a', () => Promise.reject(error));
    await job.ended;
    expect(job.outcome).toEqual({ error });
    expect(statusOf(job)).toBe('error');
  });

  it('are told to stop when they are cancelled', async () => {
    const jobs = new BackgroundExecutions();
    const { promise, resolve } = Promise.withResolvers<Record<string, unknown>>();
    const job = jobs.start('a', (signal) => {
      signal.addEventListener('abort', () => resolve({ status: 'cancelled' }));
      return promise;
    });
    jobs.cancelAll();
    await job.ended;
    expect(job.outcome).toEqual({ result: { status: 'cancelled' } });
  });

  it('are refused when too many run, before anything of the refused one runs', () => {
    const jobs = new BackgroundExecutions();
    for (let made = 0; made < 32; made += 1) jobs.start(`${made}`, () => new Promise(() => {}));
    let ran = false;
    const start = () =>
      jobs.start('one-more', async () => {
        ran = true;
        return {};
      });
    expect(start).toThrow(expect.objectContaining({ code: 'session_busy' }));
    expect(ran).toBe(false);
  });

  it('forget the oldest of those that ended', async () => {
    const jobs = new BackgroundExecutions();
    for (let made = 0; made < 60; made += 1) await jobs.start(`${made}`, async () => ({})).ended;
    expect(jobs.list()).toHaveLength(50);
    expect(jobs.get('9')).toBeUndefined();
    expect(jobs.get('59')).toBeDefined();
  });
});
