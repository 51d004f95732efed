import { describe, expect, test } from 'vitest';
import { parseJson } from './json-input.ts';

describe('JSON from a caller', () => {
  test('is what it says', () => {
    const value = { a: ['[{"\\', { b: '"' }], c: null, d: ',,,'.repeat(20_000) };
    expect(parseJson(JSON.stringify(value))).toEqual(value);
  });

  test.each([
    [
      'fields',
      `{${Array.from({ length: 20_001 }, (_, index) => `"a${index}":1`).join(',')}}`,
      'more than 20000 values',
    ],
    ['items', `[${'0,'.repeat(20_001)}0]`, 'more than 20000 values'],
    ['levels of lists', '['.repeat(65), 'more than 64 levels'],
    ['levels of objects', '{"a":'.repeat(1_000_000), 'more than 64 levels'],
  ])('of too many %s is refused before it is parsed', (_what, text, message) => {
    expect(() => parseJson(text)).toThrow(
      expect.objectContaining({ code: 'invalid_input', message: expect.stringContaining(message) }),
    );
  });

  test.each(['', '{', '"', '"\\', 'nope', '[1,]'])('that is none is a SyntaxError: %j', (text) => {
    expect(() => parseJson(text)).toThrow(SyntaxError);
  });
});
