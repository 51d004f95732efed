import { expect, test } from 'vitest';
import { describeToolCalls } from './tool-calls-output.ts';

const call = (n: number, tool: string, status = 'ok') => ({ n, tool, status, ms: 2.4, bytes: 10 });

test('calls of one tool that ended alike are one entry, with their number and the time of all', () => {
  const calls = [call(1, 'files.read'), call(2, 'db.query'), call(3, 'files.read'), call(4, 'files.read', 'limit')];
  expect(describeToolCalls(calls)).toBe(
    '[tools] files.read ok × 2 (5 ms), db.query ok (2 ms), files.read limit (2 ms)',
  );
});

test('of many kinds of calls the rest is counted', () => {
  const calls = Array.from({ length: 23 }, (_, n) => call(n + 1, `files.t${n}`));
  expect(describeToolCalls(calls)).toMatch(/files\.t19 ok \(2 ms\), and 3 more$/);
});
