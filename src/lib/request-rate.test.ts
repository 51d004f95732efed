import { describe, expect, it } from 'vitest';
import { RequestRate } from './request-rate.ts';

/** A rate with a clock that is set by hand, in seconds. */
function open(perMinute: number) {
  const clock = { s: 0 };
  const rate = new RequestRate(perMinute, () => clock.s * 1000);
  return { clock, rate, take: (owner: string, times = 1) => Array.from({ length: times }, () => rate.take(owner)) };
}

describe('a rate of requests', () => {
  it('lets a minute’s worth through at once, and then tells when there is room for one more', () => {
    const { clock, take } = open(6);
    take('a', 6);
    expect(() => take('a')).toThrow(expect.objectContaining({ code: 'capacity_exceeded', retryAfterS: 10 }));
    clock.s = 7;
    expect(() => take('a')).toThrow(expect.objectContaining({ retryAfterS: 3 }));
    clock.s = 10;
    take('a');
    expect(() => take('a')).toThrow();
  });

  it('counts each owner apart', () => {
    const { take } = open(1);
    take('a');
    take('b');
    expect(() => take('a')).toThrow();
  });

  it('lets no more than its number through per minute in the long run', () => {
    const { clock, take } = open(30);
    let through = 0;
    for (clock.s = 0; clock.s < 600; clock.s += 0.5) {
      try {
        take('a');
        through += 1;
      } catch {}
    }
    expect(through).toBeGreaterThanOrEqual(300);
    expect(through).toBeLessThanOrEqual(330);
  });

  it('remembers nobody who has not called for a minute', () => {
    const { clock, rate, take } = open(60);
    for (let at = 0; at < 1000; at += 1) take(`owner-${at}`);
    expect(rate.size).toBe(1000);
    clock.s = 61;
    take('last');
    expect(rate.size).toBe(1);
  });
});
