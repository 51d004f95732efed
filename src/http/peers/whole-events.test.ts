import { expect, test } from 'vitest';
import { wholeEvents } from './whole-events.ts';

test.each([
  [
    ['a\n\n', 'b\n\n'],
    ['a\n\n', 'b\n\n'],
  ],
  [
    ['a\n\nb', 'c\n', '\nd\n\n'],
    ['a\n\n', 'bc\n\nd\n\n'],
  ],
  [['a\n', '\n'], ['a\n\n']],
  [
    ['a\n', '\nb', '\n\n'],
    ['a\n\n', 'b\n\n'],
  ],
  [['a\nb', '\nc'], ['a\nb\nc']],
])('%j is passed on by whole events', async (pieces, expected) => {
  async function* stream() {
    for (const piece of pieces) yield Buffer.from(piece);
  }
  const passed: string[] = [];
  for await (const batch of wholeEvents(stream())) passed.push(Buffer.concat(batch).toString());
  expect(passed).toEqual(expected);
});
