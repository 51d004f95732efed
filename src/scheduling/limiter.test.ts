import { describe, expect, it } from 'vitest';
import { Limiter } from './limiter.ts';

describe('a limiter', () => {
  it('lets so many in and the others wait in order', async () => {
    const limiter = new Limiter(1, 2);
    const order: number[] = [];
    const first = await limiter.enter();
    const others = [1, 2].map(async (n) => {
      using _place = await limiter.enter();
      order.push(n);
    });
    await expect(limiter.enter()).rejects.toMatchObject({ code: 'session_busy' });
    first[Symbol.dispose]();
    await Promise.all(others);
    expect(order).toEqual([1, 2]);
    expect(limiter.running).toBe(0);
  });

  it('lets one that gives up leave its place in the queue', async () => {
    const limiter = new Limiter(1, 1);
    const first = await limiter.enter();
    const impatient = new AbortController();
    const waiting = limiter.enter({ signal: impatient.signal });
    impatient.abort(new Error('gave up'));
    await expect(waiting).rejects.toThrow('gave up');
    const next = limiter.enter();
    first[Symbol.dispose]();
    (await next)[Symbol.dispose]();
    expect(limiter.running).toBe(0);
  });

  it('tells who waited in vain to come again, and how many were ahead of whom', async () => {
    const limiter = new Limiter(1, 2, 'the test');
    using _held = await limiter.enter();
    const ahead: number[] = [];
    const onWait = (count: number) => void ahead.push(count);
    const late = [1, 2].map((patienceMs) => limiter.enter({ patienceMs, onWait }));
    for (const { status, reason } of (await Promise.allSettled(late)) as PromiseRejectedResult[]) {
      expect(status).toBe('rejected');
      expect(reason).toMatchObject({
        code: 'capacity_exceeded',
        retryAfterS: 1,
        message: expect.stringContaining('the test'),
      });
    }
    expect(ahead).toEqual([0, 1]);
    const leave = new AbortController();
    const others = [1, 2].map(() => limiter.enter({ signal: leave.signal }));
    leave.abort();
    expect(await Promise.allSettled(others)).toMatchObject([{ status: 'rejected' }, { status: 'rejected' }]);
  });
});
