import { expect, test } from 'vitest';
import { freePiece } from './owned-memory.ts';

const LARGE = 64 * 1024;

test('a large piece is freed', () => {
  const piece = Buffer.from(new ArrayBuffer(LARGE));
  freePiece(piece);
  expect(piece).toHaveLength(0);
});

test('a small piece is not freed, because others may be in the same memory', () => {
  const piece = Buffer.from('a small piece');
  freePiece(piece);
  expect(piece.toString()).toBe('a small piece');
});

test('a piece is not freed that has others behind it in its memory', () => {
  const chunk = Buffer.from(new ArrayBuffer(2 * LARGE));
  freePiece(chunk.subarray(0, LARGE));
  expect(chunk).toHaveLength(2 * LARGE);
});

test("a piece at the end of Node's shared memory stays as it is", () => {
  // Fills that memory to its end, whatever it has left now.
  for (let at = 0; at < 20; at += 1) {
    const piece = Buffer.from(Buffer.alloc(Buffer.poolSize / 4, 'x'));
    const isShared = piece.buffer.byteLength > piece.byteLength;
    freePiece(piece);
    if (isShared) expect(piece).toHaveLength(Buffer.poolSize / 4);
  }
});
