import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { ReusedMemory } from './reused-memory.ts';

/** Reads so many bytes of one value, as a connection does. */
function read(memory: ReusedMemory, length: number, value: number): Buffer {
  return memory.free.subarray(0, length).fill(value);
}

/** A memory on which much comes. */
function large(): ReusedMemory {
  const memory = new ReusedMemory();
  memory.advance(memory.free.length);
  return memory;
}

// For all tests, as they share the blocks that wait.
beforeAll(() => void vi.useFakeTimers());
afterAll(() => void vi.useRealTimers());

describe('the memory of a connection', () => {
  test('is read into again when nothing was kept', () => {
    const memory = large();
    const before = memory.free;
    memory.keep(read(memory, 100, 1)).release();
    memory.advance(60_000);
    expect(memory.free).toBe(before);
  });

  test('is not read into while a piece is kept, and is used again after that', () => {
    const memory = large();
    const before = memory.free;
    const kept = memory.keep(read(memory, 60_000, 1));
    memory.advance(60_000);
    expect(memory.free).not.toBe(before);
    read(memory, memory.free.length, 2);
    expect(kept.bytes.equals(Buffer.alloc(60_000, 1))).toBe(true);
    kept.release();
    const next = memory.keep(read(memory, 60_000, 3));
    memory.advance(60_000);
    expect(memory.free).toBe(before);
    next.release();
  });

  test('waits for all pieces that are kept in it', () => {
    const memory = large();
    const before = memory.free;
    const all = read(memory, 60_000, 1);
    const pieces = [memory.keep(all.subarray(0, 30_000)), memory.keep(all.subarray(30_000))];
    memory.advance(60_000);
    pieces[0]?.release();
    const next = memory.keep(read(memory, 60_000, 2));
    memory.advance(60_000);
    expect(memory.free).not.toBe(before);
    expect(pieces[1]?.bytes.equals(Buffer.alloc(30_000, 1))).toBe(true);
    for (const { release } of [...pieces.slice(1), next]) release();
  });

  test('of a short piece is not occupied by it', () => {
    const memory = large();
    const before = memory.free;
    const kept = memory.keep(read(memory, 1000, 1));
    memory.advance(60_000);
    expect(memory.free).toBe(before);
    read(memory, 1000, 2);
    expect(kept.bytes.equals(Buffer.alloc(1000, 1))).toBe(true);
  });

  test('grows with what comes, and shrinks again', () => {
    const memory = new ReusedMemory();
    const small = memory.free.length;
    memory.advance(small - 1);
    expect(memory.free.length).toBe(small);
    memory.advance(small);
    expect(memory.free.length).toBeGreaterThan(small);
    memory.advance(10);
    expect(memory.free.length).toBe(small);
  });

  test('is freed when nothing has needed it for a while', () => {
    const first = large();
    const before = first.free;
    first.close();
    vi.advanceTimersByTime(60_000);
    expect(large().free).not.toBe(before);
  });

  test('is not freed as long as it is needed again and again', () => {
    const first = large();
    const before = first.free;
    first.close();
    for (let second = 0; second < 60; second += 1) {
      vi.advanceTimersByTime(1000);
      const next = large();
      expect(next.free).toBe(before);
      next.close();
    }
  });
});
