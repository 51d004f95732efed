import { describe, expect, test } from 'vitest';
import { LONGEST_ARGUMENT, textOf, whyInvalidCommand } from './program.ts';

describe('a program as people read it', () => {
  test.each([
    ['print(1)', 'print(1)'],
    [{ command: 'ls | wc -l' }, 'ls | wc -l'],
    [{ command: ['wc', '-l', "it's a file", ''] }, "wc -l 'it'\\''s a file' ''"],
  ])('%j', (program, text) => {
    expect(textOf(program)).toBe(text);
  });
});

describe('a command that cannot be run', () => {
  test.each([
    [{ command: '' }, 'empty'],
    [{ command: ' \n' }, 'empty'],
    [{ command: [] }, 'empty'],
    [{ command: ['', 'a'] }, 'empty'],
    [{ command: 'a\0b' }, 'NUL'],
    [{ command: ['a', 'b\0'] }, 'NUL'],
    [{ command: ['a', '\ud800'] }, 'surrogate'],
    [{ command: 'a', cwd: '\0' }, 'NUL'],
    [{ command: 'a', cwd: '' }, 'folder'],
    [{ command: ['a', 'ä'.repeat((LONGEST_ARGUMENT + 1) / 2)] }, 'standard input'],
  ])('is refused: %#', (command, why) => {
    expect(whyInvalidCommand(command)).toContain(why);
  });

  test.each([
    [{ command: 'x'.repeat(LONGEST_ARGUMENT * 2) }],
    [{ command: ['a', 'x'.repeat(LONGEST_ARGUMENT)] }],
    [{ command: ['a', ''], cwd: '/tmp' }],
  ])('is not this one: %#', (command) => {
    expect(whyInvalidCommand(command)).toBeUndefined();
  });
});
