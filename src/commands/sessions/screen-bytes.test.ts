import { describe, expect, test } from 'vitest';
import { ScreenBytes } from './screen-bytes.ts';

/** The same in one piece, and in pieces of one byte. */
function shown(text: string): string {
  const bytes = Buffer.from(text);
  const whole = new ScreenBytes().take(bytes).toString();
  const screen = new ScreenBytes();
  const pieces = [...bytes].map((byte) => screen.take(Buffer.of(byte)));
  expect(Buffer.concat(pieces).toString()).toBe(whole);
  return whole;
}

describe('the screen of a sandbox on that of a person', () => {
  test.each([
    ['text', 'ä\t😀 ÂÂ \r\n\x07\b'],
    ['colours and moves', '\x1b[1;31mred\x1b[0m\x1b[38:5:9m\x1b[3;4H\x1b[2J\x1b7\x1b8\x1bM\x1b(B'],
    ['another screen, the mouse, a scroll region', '\x1b[?1049h\x1b[?1000;1006h\x1b[2;5r\x1b='],
    ['questions whose answers are numbers', '\x1b[6n\x1b[c\x1b[>c'],
  ])('has %s as they are', (_what, text) => {
    expect(shown(text)).toBe(text);
  });

  test.each([
    ['the title', '\x1b]0;evil\x07'],
    ['the clipboard', '\x1b]52;c;ZXZpbA==\x1b\\'],
    ['a link', '\x1b]8;;javascript:alert(1)\x1b\\'],
    ['the size of the window, and a report of its title', '\x1b[8;1;1t\x1b[21t'],
    ['a question whose answer is a text', '\x1bP$qm\x1b\\\x1bP+q436f\x1b\\'],
    ['a picture, a private message', '\x1b_Ga=T;AAAA\x1b\\\x1b^x\x1b\\\x1bXx\x1b\\'],
    ['the same by 8-bit controls in UTF-8', '\u009d\u009b\u0090'],
  ])('has nothing that sets or asks for %s', (_what, text) => {
    expect(shown(`a${text}b`)).toBe('ab');
  });

  test('goes on after an endless string, and holds none in memory', () => {
    const screen = new ScreenBytes();
    expect(screen.take(Buffer.from(`\x1b]0;${'x'.repeat(1_000_000)}`))).toHaveLength(0);
    expect(screen.take(Buffer.from('\x07after')).toString()).toBe('after');
  });

  test('is restored to how it was', () => {
    const screen = new ScreenBytes();
    screen.take(Buffer.from('\x1b[?1049h\x1b[?25l\x1b[?1000;1006h\x1b[?2004h\x1b[?2004l\x1b[?7h'));
    expect(screen.restore()).toBe('\x1b[?1049l\x1b[?25h\x1b[?1000l\x1b[?1006l\x1b[0m\x1b[r\x1b>');
  });
});
