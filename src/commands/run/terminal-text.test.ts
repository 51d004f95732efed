import { describe, expect, test } from 'vitest';
import { TerminalText } from './terminal-text.ts';

/** The same in one piece, and in pieces of one character. */
function filtered(text: string): string {
  const whole = new TerminalText().take(text);
  const filter = new TerminalText();
  expect([...text].map((character) => filter.take(character)).join('')).toBe(whole);
  return whole;
}

describe('output of code on a terminal', () => {
  test.each([
    ['text with umlauts, emoji and tabs', 'ä\t😀\r\n'],
    ['colours', '\x1b[1;31mred\x1b[0m \x1b[38;2;1;2;3mtrue\x1b[38:5:9mcolons'],
    ['a progress bar', '\r\x1b[K50%\x1b[A\x1b[2J\x1b[3;4H\b'],
    ['the cursor shown and hidden', '\x1b[?25l\x1b[?25h'],
  ])('has %s as they are', (_what, text) => {
    expect(filtered(text)).toBe(text);
  });

  test.each([
    ['the title', '\x1b]0;evil\x07'],
    ['the clipboard', '\x1b]52;c;ZXZpbA==\x1b\\'],
    ['a question that the terminal answers by typing', '\x1b[6n\x1b[c\x1bP$qm\x1b\\\x1b[?6n\x1bZ'],
    ['another screen, the mouse, a scroll region and a reset', '\x1b[?1049h\x1b[?1000h\x1b[2;5r\x1bc'],
    ['bells, shifts and other controls', '\x07\x0e\x0f\x00\x7f'],
    ['the same in 8-bit controls', '\x9d0;evil\x9c\x9b6n\x90q\x9c'],
    ['an application command', '\x1b_Ga=T;AAAA\x1b\\'],
  ])('has nothing that sets or asks %s', (_what, text) => {
    expect(filtered(`a${text}b`)).toBe('ab');
  });

  test('goes on after a sequence without an end, and holds no endless one in memory', () => {
    expect(filtered('\x1b[31\nx')).toBe('[31\nx');
    const filter = new TerminalText();
    expect(filter.take(`\x1b]0;${'x'.repeat(1_000_000)}`)).toBe('');
    expect(filter.take('y'.repeat(1_000_000))).toBe('');
    expect(filter.take('\x07after')).toBe('after');
  });
});
