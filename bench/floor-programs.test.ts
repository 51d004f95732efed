import { expect, test } from 'vitest';
import { payloadOf } from './floor-programs.ts';

test('the frames of the engine are taken off what was printed', () => {
  const frame = (text: string) => Buffer.concat([Buffer.from([1, 0, 0, 0, 0, 0, 0, text.length]), Buffer.from(text)]);
  expect(payloadOf(Buffer.concat([frame('[1, '), frame('2]\n')]))).toBe('[1, 2]\n');
  expect(payloadOf(Buffer.alloc(0))).toBe('');
});
