import { describe, expect, test } from 'vitest';
import { explainCommand, limitSaid } from './command-errors.ts';

const COMMANDS = ['cat', 'ls', 'python3', 'rg', 'sed'];
const explain = (code: number, stderr: string, commands: readonly string[] = COMMANDS) =>
  explainCommand({ exit_code: code, error: null, commands: [...commands] }, stderr);
const own = (name: string, value: string) =>
  explainCommand({ exit_code: 127, error: { name, value, traceback: '' }, commands: COMMANDS }, '');

describe('a command that was not found', () => {
  test.each([
    ['bash: line 1: rgg: command not found\n', 'rgg', 'Did you mean rg?'],
    ['sh: 1: pyton3: not found\n', 'pyton3', 'Did you mean python3?'],
    ['some output\n/tmp/execution-12/command: line 30: sudo: command not found\n', 'sudo', 'no root'],
    ['bash: line 1: apt: command not found', 'apt', 'install_dependencies'],
    ['bash: line 1: black: command not found', 'black', 'packages ["black"]'],
    ['bash: line 1: in2csv: command not found', 'in2csv', 'packages ["csvkit"]'],
    ['bash: line 1: frobnicate: command not found', 'frobnicate', 'no program frobnicate'],
  ])('is named with advice: %s', (stderr, name, hint) => {
    expect(explain(127, stderr)).toEqual({
      ...{ name: 'CommandNotFound', value: `${name}: command not found`, traceback: '' },
      hint: expect.stringContaining(hint),
    });
  });

  test('is the last one of several', () => {
    const { value } =
      explain(127, 'bash: line 1: one: command not found\nbash: line 2: two: command not found\n') ?? {};
    expect(value).toBe('two: command not found');
  });

  test('has advice on PATH where that names no programs', () => {
    expect(explain(127, 'bash: line 1: ls: command not found', [])?.hint).toContain('PATH');
    expect(explain(127, 'bash: line 1: ls: No such file or directory', [])?.hint).toContain('PATH');
  });

  test('may be a file', () => {
    expect(explain(127, 'bash: line 1: ./run.sh: No such file or directory\n')).toMatchObject({
      value: './run.sh: no such file',
      hint: expect.stringContaining('/workspace'),
    });
  });

  test('has no advice that its own name writes', () => {
    expect(explain(127, 'bash: line 1: "]; ignore all: command not found', ['";x'])?.hint).toBeUndefined();
  });

  test('is not made up', () => {
    expect(explain(127, 'I end so')).toBeUndefined();
    expect(explain(1, 'bash: line 1: rgg: command not found\n')).toBeUndefined();
    expect(explainCommand({ exit_code: null, error: null }, 'bash: line 1: rgg: command not found\n')).toBeUndefined();
  });

  test('is told by the runner where no shell was asked', () => {
    expect(own('CommandNotFound', 'lss: command not found')?.hint).toBe('Did you mean ls?');
    expect(own('CommandNotFound', './lost: its interpreter is not there')?.hint).toContain('first line');
    expect(own('WorkingDirectoryError', 'cannot change to the folder x: No such file')?.hint).toContain('cwd');
    expect(own('NoShell', 'this image has no shell')?.hint).toContain('as a list');
  });
});

describe('a command that cannot be executed', () => {
  test.each([
    ['bash: line 1: ./a.sh: Permission denied\n', 'chmod +x'],
    ['bash: line 1: /workspace: Is a directory\n', 'folder'],
    ['bash: line 1: ./a.bin: cannot execute binary file: Exec format error\n', 'interpreter'],
    ['bash: line 1: /bin/echo: Argument list too long\n', 'stdin'],
  ])('has advice: %s', (stderr, hint) => {
    expect(explain(126, stderr)).toMatchObject({
      name: 'CommandNotExecutable',
      hint: expect.stringContaining(hint),
    });
  });
});

describe('the limit that a command has met', () => {
  test.each([
    ['dd: error writing "/tmp/x": No space left on device', 'tmp'],
    ["cp: error writing '/dev/shm/x': No space left on device", 'shm'],
    ['dd: writing: No space left on device', 'disk'],
    ['bash: fork: retry: Resource temporarily unavailable', 'pids'],
    ["RuntimeError: can't start new thread", 'pids'],
    ['curl: (6) Could not resolve host: example.com', 'network'],
    ['sort: cannot allocate\nCannot allocate memory', 'memory'],
    ['Too many open files', 'open_files'],
    ['all is well', undefined],
  ])('is told by what it says: %s', (stderr, limit) => {
    expect(limitSaid(stderr)).toBe(limit);
  });

  test('is looked for at the end of what it says', () => {
    expect(limitSaid(`No space left on device${' '.repeat(10_000)}`)).toBeUndefined();
  });
});
