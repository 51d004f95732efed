import { expect, it, onTestFinished, vi } from 'vitest';
import { Pace } from './pace.ts';

it('lets one send many at once, then so many a second, and forgets it after a quiet while', () => {
  let now = 1000;
  const clock = vi.spyOn(performance, 'now').mockImplementation(() => now);
  onTestFinished(() => clock.mockRestore());
  const pace = new Pace({ burst: 2000, perSecond: 500 });
  for (let n = 0; n < 2000; n += 1) expect(pace.take('a')).toBe(0);
  expect(pace.take('a')).toBe(2);
  expect(pace.take('a')).toBe(4);
  expect(pace.take('b')).toBe(0);
  now += 1000;
  expect(pace.take('a')).toBe(0);
  now += 10_000;
  expect(pace.take('c')).toBe(0);
  expect(pace.size).toBe(1);
});
