import { describe, expect, it } from 'vitest';
import { Limiter } from './limiter.ts';

const never = new AbortController().signal;

describe('a limiter', () => {
  it('lets so many in and the others wait in order', async () => {
    const limiter = new Limiter(1, 2);
    const order: number[] = [];
    const first = await limiter.enter(never);
    const others = [1, 2].map(async (n) => {
      using _place = await limiter.enter(never);
      order.push(n);
    });
    await expect(limiter.enter(never)).rejects.toMatchObject({ code: 'session_busy' });
    first[Symbol.dispose]();
    await Promise.all(others);
    expect(order).toEqual([1, 2]);
    expect(limiter.running).toBe(0);
  });

  it('lets one that gives up leave its place in the queue', async () => {
    const limiter = new Limiter(1, 1);
    const first = await limiter.enter(never);
    const impatient = new AbortController();
    const waiting = limiter.enter(impatient.signal);
    impatient.abort(new Error('gave up'));
    await expect(waiting).rejects.toThrow('gave up');
    const next = limiter.enter(never);
    first[Symbol.dispose]();
    (await next)[Symbol.dispose]();
    expect(limiter.running).toBe(0);
  });
});
