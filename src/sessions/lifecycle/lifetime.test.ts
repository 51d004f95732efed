import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { Lifetime } from './lifetime.ts';

const START = new Date('2026-11-23T08:00:00.000Z');
const LIMITS = { idleTtlS: 60, maxLifetimeS: 300 };
const ARCHIVE_END = new Date('2026-12-23T08:00:00.000Z');

const at = (seconds: number) => new Date(START.getTime() + seconds * 1000);

beforeEach(() => void vi.useFakeTimers({ toFake: ['Date'], now: START }));
afterEach(() => void vi.useRealTimers());

/** The lifetime of a session that began at `START`. */
function begin({ hibernated = false } = {}) {
  const state = { hibernated };
  const lifetime = new Lifetime(START, LIMITS, () => (state.hibernated ? ARCHIVE_END : undefined));
  return { lifetime, state };
}

describe('a lifetime', () => {
  test('lasts for the idle time after each use, and never longer than a sandbox may', () => {
    const { lifetime } = begin();
    lifetime.touch(at(10));
    expect(lifetime.expiresAt).toEqual(at(70));
    lifetime.touch(at(290));
    expect(lifetime.expiresAt).toEqual(at(300));
    expect(lifetime.lastUsedAt).toEqual(at(290));
  });

  test('is over when the longest lifetime is, whatever its last use', () => {
    const { lifetime } = begin();
    lifetime.touch(at(299));
    vi.setSystemTime(at(299));
    expect(lifetime.isOver).toBe(false);
    vi.setSystemTime(at(300));
    expect(lifetime.isOver).toBe(true);
  });

  test('begins anew when the session wakes', () => {
    const { lifetime } = begin();
    vi.setSystemTime(at(1000));
    expect(lifetime.isOver).toBe(true);
    lifetime.wake();
    lifetime.touch();
    expect(lifetime.isOver).toBe(false);
    expect(lifetime.wokenAt).toEqual(at(1000));
    expect(lifetime.expiresAt).toEqual(at(1060));
  });

  test('is that of the archive while the session hibernates, used or not', () => {
    const { lifetime, state } = begin();
    lifetime.touch();
    state.hibernated = true;
    lifetime.hibernate();
    expect(lifetime.expiresAt).toEqual(ARCHIVE_END);
    expect(lifetime.lastUsedAt).toEqual(START);
    lifetime.touch(at(5));
    expect(lifetime.expiresAt).toEqual(ARCHIVE_END);
  });

  test('stays as it is where there is no archive to last as long as', () => {
    const { lifetime } = begin();
    lifetime.touch();
    lifetime.hibernate();
    expect(lifetime.expiresAt).toEqual(at(60));
  });

  test('can be cut short, never lengthened, until the next use', () => {
    const { lifetime } = begin();
    lifetime.touch();
    lifetime.cutTo(at(100));
    expect(lifetime.expiresAt).toEqual(at(60));
    lifetime.cutTo(at(10));
    expect(lifetime.expiresAt).toEqual(at(10));
    lifetime.touch();
    expect(lifetime.expiresAt).toEqual(at(60));
  });

  test('is in use until the last of those that hold it lets go', () => {
    const { lifetime } = begin();
    const [first, second] = [lifetime.hold(), lifetime.hold()];
    first[Symbol.dispose]();
    expect(lifetime.inUse).toBe(true);
    second[Symbol.dispose]();
    expect(lifetime.inUse).toBe(false);
  });
});

describe('a watch over a lifetime', () => {
  test('sees nothing where nothing was', () => {
    const { lifetime } = begin();
    lifetime.touch();
    expect(lifetime.watch()()).toBe(false);
  });

  test('sees a use that is over by then, even one in the same millisecond', () => {
    const { lifetime } = begin();
    lifetime.touch();
    const wasUsed = lifetime.watch();
    const held = lifetime.hold();
    held[Symbol.dispose]();
    lifetime.touch();
    expect(wasUsed()).toBe(true);
  });

  test('sees a use that goes on, whenever it began', () => {
    const { lifetime } = begin();
    using _held = lifetime.hold();
    expect(lifetime.watch()()).toBe(true);
  });
});
