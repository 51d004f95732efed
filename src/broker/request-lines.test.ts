import { expect, test } from 'vitest';
import { RequestLines } from './request-lines.ts';

test('lines come whole, whatever pieces they come in', () => {
  const sent = Buffer.from('one\n\nzwölf\nrest');
  for (const size of [1, 2, 5, sent.length]) {
    const lines = new RequestLines();
    const taken: string[] = [];
    for (let at = 0; at < sent.length; at += size) {
      lines.append(sent.subarray(at, at + size));
      for (let line = lines.take(); line !== undefined; line = lines.take()) taken.push(line);
    }
    expect(taken).toEqual(['one', '', 'zwölf']);
    expect(lines.length).toBe(4);
  }
});

test('pieces of which memory is used again are copied', () => {
  const lines = new RequestLines();
  const piece = Buffer.from('ab');
  lines.append(piece);
  piece.fill('x');
  lines.append(Buffer.from('c\n'));
  expect(lines.take()).toBe('abc');
});

test('a line that came byte by byte took time by the square of its length', () => {
  const lines = new RequestLines();
  const piece = Buffer.from('x');
  let taken = 0;
  for (let n = 0; n < 2 ** 20; n += 1) {
    lines.append(piece);
    if (lines.take() !== undefined) taken += 1;
  }
  expect({ taken, left: lines.length }).toEqual({ taken: 0, left: 2 ** 20 });
});
