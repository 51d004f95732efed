import { describe, expect, test } from 'vitest';
import { shortName, showArguments } from './shown-arguments.ts';

describe('arguments as a person is shown them', () => {
  test('are JSON as it is, where that is short', () => {
    const values = { repo: 'a/b', n: 3, deep: [{ x: null }], name: 'Žofie 東京 😀' };
    expect(showArguments(values)).toEqual({
      text: JSON.stringify(values),
      isCut: false,
      bytes: Buffer.byteLength(JSON.stringify(values)),
    });
  });

  test.each([
    ['a mark that turns the direction', 'a\u202eb'],
    ['an isolate', 'a\u2066b'],
    ['a right-to-left mark', 'a\u200fb'],
    ['a space without width', 'a\u200bb'],
    ['an escape sequence of a terminal', 'a\u001b[31mb'],
    ['a control character of C1', 'a\u009bb'],
    ['a delete', 'a\u007fb'],
    ['a separator of lines', 'a\u2028b'],
    ['a tag', 'a\u{e0041}b'],
    ['a filler', 'a\u3164b'],
    ['a space that is not one', 'a\u00a0b'],
    ['half a character', 'a\ud800b'],
    ['a private character', 'a\ue000b'],
    ['a line feed', 'a\nb'],
  ])('hide nothing and reorder nothing: %s', (_what, value) => {
    const shown = showArguments({ [value]: value });
    expect(shown?.text).toMatch(/^[ -~]+$/);
    expect(JSON.parse(shown?.text ?? '')).toEqual({ [value]: value });
  });

  test('of 10 MB are cut, each with its beginning, so that the long one hides no other', () => {
    const shown = showArguments({ content: 'x'.repeat(10_000_000), path: '/etc/passwd', mode: 'w' });
    expect(shown?.isCut).toBe(true);
    expect(shown?.bytes).toBeGreaterThan(10_000_000);
    expect(shown?.text.length).toBeLessThanOrEqual(2048);
    expect(shown?.text).toMatch(
      /^\{"content": "x{1000,}… 99\d{5} more characters, "path": "\/etc\/passwd", "mode": "w"\}$/,
    );
  });

  test('stay short when writing them out makes them long', () => {
    const shown = showArguments({ a: '\u202e'.repeat(2000), b: '\u0000'.repeat(2000), c: 'seen' });
    expect(shown?.text.length).toBeLessThanOrEqual(2048);
    expect(shown?.text).toMatch(/^[ -~…]+$/);
    expect(shown?.text).toContain('"c": "seen"');
  });

  test('say how many there are, if there are many', () => {
    const many = Object.fromEntries(Array.from({ length: 5000 }, (_, n) => [`name-${n}`.repeat(50), 'v'.repeat(500)]));
    const shown = showArguments(many);
    expect(shown?.text.length).toBeLessThanOrEqual(2048);
    expect(shown?.text).toContain('… 4984 more arguments}');
  });

  test('that are nested too deeply are not shown at all', () => {
    let deep: unknown = 1;
    for (let depth = 0; depth < 200_000; depth += 1) deep = [deep];
    expect(showArguments({ deep })).toBeUndefined();
  });
});

test('a name as a person is shown it is short, and has nothing that cannot be seen', () => {
  expect(shortName('create_issue')).toBe('create_issue');
  expect(shortName('a\u202eb')).toBe('a\\u202eb');
  expect(shortName('n'.repeat(1_000_000))).toBe(`${'n'.repeat(100)}…`);
});
