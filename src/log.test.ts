import { expect, test } from 'vitest';
import { createLog, type LogFields, type LogLevel } from './log.ts';

/** The line that a log of this level writes, without its time; undefined for none. */
function lineOf(least: LogLevel, level: LogLevel, message: string, fields?: LogFields): string | undefined {
  const lines: string[] = [];
  createLog(least, (line) => lines.push(line))[level](message, fields);
  expect(lines.length).toBeLessThan(2);
  const [time = '', line] = lines[0]?.split(/ (.*)/s) ?? [];
  if (line !== undefined) expect(new Date(time).toISOString()).toBe(time);
  return line;
}

test('a log line is one line of text: time, level, message and fields', () => {
  expect(lineOf('info', 'info', 'session opened', { session_id: 's-1', owner: 'local', ms: 1.5, closed: false })).toBe(
    'info  session opened session_id=s-1 owner=local ms=1.5 closed=false\n',
  );
  expect(lineOf('info', 'error', 'x', { code: 'a\nb "c"', list: ['d', 1], none: null, nothing: undefined })).toBe(
    'error x code="a\\nb \\"c\\"" list=["d",1] none=null nothing=undefined\n',
  );
});

test('a log line tells an error in any field, with what caused it', () => {
  const error = new Error('cannot start', { cause: new Error('no such image') });
  expect(lineOf('info', 'warn', 'failed', { error, reason: new TypeError('bad') })).toBe(
    'warn  failed error="cannot start (no such image)" reason="bad"\n',
  );
});

test('an error of an engine that answers with all that it was sent makes no line of twelve thousand characters', () => {
  const error = new Error('x'.repeat(12_000), { cause: new Error('y'.repeat(12_000)) });
  expect(lineOf('info', 'warn', 'failed', { error })).toBe(
    `warn  failed error="${'x'.repeat(300)}… (${'y'.repeat(300)}…)"\n`,
  );
});

test('a field of a log line may have the name of one of its parts', () => {
  expect(lineOf('debug', 'debug', 'x', { level: 3, time: 'now', msg: 'y' })).toBe('debug x level=3 time=now msg=y\n');
});

test.each<[LogLevel, LogLevel, boolean]>([
  ['debug', 'debug', true],
  ['info', 'debug', false],
  ['warn', 'info', false],
  ['warn', 'warn', true],
  ['error', 'warn', false],
  ['error', 'error', true],
])('a log of level %s writes lines of level %s: %s', (least, level, isWritten) => {
  expect(lineOf(least, level, 'x') !== undefined).toBe(isWritten);
});
