import { expect, test } from 'vitest';
import { type Moment, Validity } from './validity.ts';

const LENGTH_MS = 14_000;

/** A lease that was taken at 0, and its clocks. */
function take() {
  const clock = { monotonic: 0, wall: 1_000_000 };
  const read = (): Moment => ({ ...clock });
  return { clock, read, validity: new Validity(LENGTH_MS, read(), read) };
}

test.each([
  ['by the clock that never jumps', { monotonic: LENGTH_MS, wall: 0 }],
  ['by the clock that goes on while the machine sleeps', { monotonic: 10, wall: LENGTH_MS }],
])('a lease is over %s', (_, { monotonic, wall }) => {
  const { clock, validity } = take();
  clock.monotonic += monotonic - 1;
  clock.wall += wall - 1;
  expect(validity.isOver).toBe(false);
  expect(validity.leftMs).toBe(1);
  clock.monotonic += 1;
  clock.wall += 1;
  expect(validity.isOver).toBe(true);
});

test('a wall clock that is put back makes a lease no longer', () => {
  const { clock, validity } = take();
  clock.wall -= 300_000;
  clock.monotonic += LENGTH_MS;
  expect(validity.isOver).toBe(true);
});

test('a renewal counts from when it was sent', () => {
  const { clock, read, validity } = take();
  clock.monotonic += 5000;
  const sent = read();
  clock.monotonic += 8000;
  validity.extend(sent);
  expect(validity.leftMs).toBe(LENGTH_MS - 8000);
});

test('a renewal whose answer comes after the end renews nothing, and neither does a clock that is put back', () => {
  const { clock, read, validity } = take();
  clock.monotonic += LENGTH_MS - 1;
  const sent = read();
  clock.monotonic += 2;
  validity.extend(sent);
  expect(validity.isOver).toBe(true);
  clock.monotonic = 0;
  expect(validity.isOver).toBe(true);
});

test('what is ended is over', () => {
  const { validity } = take();
  validity.end();
  expect(validity.isOver).toBe(true);
});
