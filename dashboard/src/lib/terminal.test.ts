import { describe, expect, test } from 'vitest';
import { appendText, BEGUN } from './run-state.ts';
import { shorten, toSpans } from './terminal.ts';

const textOf = (text: string) =>
  toSpans(text)
    .map((span) => span.text)
    .join('');

describe('what a terminal would show', () => {
  test('has the colours of a theme, and no backgrounds', () => {
    expect(toSpans('a \u001b[1;31mred\u001b[0m \u001b[97;44mwhite\u001b[0m')).toEqual([
      { text: 'a ', classes: '' },
      { text: 'red', classes: 'ansi-red ansi-bold' },
      { text: ' ', classes: '' },
      { text: 'white', classes: 'ansi-white' },
    ]);
  });

  test.each([
    ['a title', 'a\u001b]0;title\u0007b', 'ab'],
    ['a link', '\u001b]8;;https://evil.example\u001b\\text\u001b]8;;\u001b\\', 'text'],
    ['a move of the cursor', 'a\u001b[2J\u001b[10;5Hb', 'ab'],
    ['a title without an end', 'a\u001b]0;title', 'a'],
    ['a lone escape', 'a\u001bb', 'a␛b'],
    ['a carriage return', '10%\r20%\r\nend\r', '20%\nend'],
    ['a mark that turns the direction', 'a\u202Eb\u2066c', 'a⟨U+202E⟩b⟨U+2066⟩c'],
    ['control characters', 'a\u0000b\u0008c\u007f\u009b', 'a␀b␈c␡⟨U+009B⟩'],
    ['markup', '<b onclick=x>&amp;</b>', '<b onclick=x>&amp;</b>'],
  ])('of %s', (_, text, shown) => {
    expect(textOf(text)).toBe(shown);
  });

  test('keeps all text of a flood of colours', () => {
    const flood = '\u001b[31mx\u001b[32my'.repeat(20_000);
    expect(textOf(flood)).toBe('xy'.repeat(20_000));
    expect(toSpans(flood).length).toBeLessThan(6000);
  });
});

test('of a long text, the middle is left out', () => {
  expect(shorten('abcdefgh', 4)).toEqual({ head: 'ab', left: 4, tail: 'gh' });
  expect(shorten('abcd', 4)).toEqual({ head: 'abcd', left: 0, tail: '' });
});

test('of output that goes on, the end is kept, and how much came before it', () => {
  const first = appendText(BEGUN.stdout, 'x'.repeat(100_000));
  expect(appendText(first, 'end')).toEqual({ text: `${'x'.repeat(99_997)}end`, dropped: 3 });
});
