import { describe, expect, test } from 'vitest';
import { TextRing } from './text-ring.ts';

const KIB = 1024;

/** Adds texts for ever, and keeps the last ones. Returns what is read of them at each step, and what it should be. */
function follow(ring: TextRing, lengths: readonly number[], rounds: number, mostKept: number): [string[], string[]][] {
  const kept: { text: string; read: () => string }[] = [];
  const seen: [string[], string[]][] = [];
  for (let round = 0; round < rounds; round += 1) {
    const text = `${round} ${'añ日🎉'.repeat(lengths[round % lengths.length] ?? 1)}`;
    const read = ring.add(text);
    if (!read) throw new Error(`no room for ${text.length} characters`);
    kept.push({ text, read });
    if (kept.length > mostKept) {
      kept.shift();
      ring.dropOldest();
    }
    seen.push([kept.map((each) => each.read()), kept.map((each) => each.text)]);
  }
  return seen;
}

describe('a ring of texts', () => {
  test.each([
    ['of one length', [3000]],
    ['of many lengths', [1, 3000, 200, 5999, 40]],
    ['that fill it', [6000]],
  ])('returns texts %s as they were added, as often as it comes round', (_what, lengths) => {
    for (const [read, added] of follow(new TextRing(256 * KIB), lengths, 200, 3)) expect(read).toEqual(added);
  });

  test('has room for texts of its whole size together, wherever the free places are', () => {
    const ring = new TextRing(64 * KIB);
    const letters = ['a', 'b', 'c', 'd'];
    for (const letter of letters) ring.add(letter.repeat(16 * KIB));
    expect(ring.add('e')).toBeUndefined();
    ring.dropOldest();
    const short = ring.add('e'.repeat(8 * KIB));
    ring.dropOldest();
    // Free are 8 KiB before and 16 KiB after the short one.
    const long = ring.add('f'.repeat(24 * KIB));
    expect([short?.(), long?.()]).toEqual(['e'.repeat(8 * KIB), 'f'.repeat(24 * KIB)]);
  });

  test('refuses a text that is longer than its memory may be, and goes on', () => {
    const ring = new TextRing(64 * KIB);
    expect(ring.add('a'.repeat(65 * KIB))).toBeUndefined();
    expect(ring.add('b')?.()).toBe('b');
  });

  test('keeps what it has when it frees the rest', () => {
    const ring = new TextRing(256 * KIB);
    const first = ring.add('a'.repeat(100 * KIB));
    ring.dropOldest();
    const reads = [ring.add('b'.repeat(50 * KIB)), ring.add('c'.repeat(20 * KIB))];
    ring.shrink();
    expect(first).toBeDefined();
    expect(reads.map((read) => read?.())).toEqual(['b'.repeat(50 * KIB), 'c'.repeat(20 * KIB)]);
    expect(ring.add('d'.repeat(30 * KIB))?.()).toBe('d'.repeat(30 * KIB));
  });
});
