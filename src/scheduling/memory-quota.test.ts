import { describe, expect, it } from 'vitest';
import { MemoryQuota } from './memory-quota.ts';

describe('a memory quota', () => {
  it('holds each owner to a limit of their own', () => {
    const quota = new MemoryQuota({ memoryMb: 100, maxMemoryMbPerOwner: 250 });
    quota.claim('a', 'new');
    quota.claim('a', 'new');
    expect(quota.fits('a')).toBe(false);
    expect(() => quota.claim('a', 'new')).toThrow('250 MiB for one owner');
    quota.claim('b', 'new');
    quota.release('a');
    quota.claim('a', 'new');
    expect(quota.claimedMb).toBe(300);
  });

  it('counts what is pooled, and lets an owner have it when there is room for nothing else', () => {
    const quota = new MemoryQuota({ memoryMb: 100, maxMemoryMb: 200 });
    expect([quota.enterPool(), quota.enterPool(), quota.enterPool()]).toEqual([true, true, false]);
    expect(quota.fits('a')).toBe(true);
    expect(() => quota.claim('a', 'new')).toThrow('200 MiB in all');
    quota.claim('a', 'pool');
    quota.claim('a', 'pool');
    expect([quota.fits('a'), quota.fits('b'), quota.claimedMb]).toEqual([false, false, 200]);
  });

  it('tells of room as soon as there is some', () => {
    const quota = new MemoryQuota({ memoryMb: 100, maxMemoryMb: 100 });
    let room = 0;
    quota.onRoom = () => {
      room += 1;
    };
    quota.claim('a', 'new');
    expect(quota.enterPool()).toBe(false);
    quota.release('a');
    expect([room, quota.enterPool()]).toEqual([1, true]);
  });

  it('counts what is there already, even beyond its limits', () => {
    const quota = new MemoryQuota({ memoryMb: 100, maxMemoryMb: 100 });
    quota.claimAnyway('a');
    quota.claimAnyway('a');
    quota.release('a');
    expect(quota.fits('a')).toBe(false);
    quota.release('a');
    expect(quota.fits('a')).toBe(true);
  });

  it('sets no limit by default', () => {
    const quota = new MemoryQuota({ memoryMb: 1024 });
    for (let at = 0; at < 1000; at += 1) quota.claim('a', 'new');
    expect(quota.fits('a')).toBe(true);
  });
});
