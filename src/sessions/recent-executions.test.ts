import { expect, test } from 'vitest';
import type { ExecutionResult } from '../execution/result.ts';
import { RecentExecutions } from './recent-executions.ts';

const RESULT: ExecutionResult = {
  ...{ sessionId: 's', executionId: 'e', status: 'ok', exitCode: 0, files: [], durationMs: 5 },
  ...{ stdout: 'out', stderr: '', cpuMs: 3, peakMemoryBytes: 100 },
};
const session = { id: 's', owner: 'one' };

function begin(recent: RecentExecutions, id: string, of = session) {
  return recent.begin(of, { id, isBackground: false, context: undefined, program: `# ${id}` });
}

test('an execution is seen while it waits, while it runs, and after its end, by its owner alone', () => {
  const recent = new RecentExecutions();
  const states = () => recent.of('one').map(({ status }) => status);
  const first = begin(recent, 'a');
  const second = begin(recent, 'b');
  expect(states()).toEqual(['queued', 'queued']);
  first.begun();
  second.begun();
  expect(states()).toEqual(['running', 'running']);
  first.ended(RESULT);
  second.failed(new Error('no sandbox'));
  expect(recent.of('one')).toMatchObject([
    { id: 'b', status: 'error', end: { error: 'no sandbox' } },
    { id: 'a', status: 'ok', code: '# a', end: { stdout: 'out', durationMs: 5, cpuMs: 3 } },
  ]);
  expect(recent.of('other')).toEqual([]);
});

test('the last hundred of an owner are kept, and another owner loses none to them', () => {
  const recent = new RecentExecutions();
  begin(recent, 'mine', { id: 's', owner: 'quiet' });
  const first = begin(recent, 'e0');
  for (let at = 1; at <= 150; at += 1) begin(recent, `e${at}`);
  first.ended(RESULT);
  const kept = recent.of('one');
  expect([kept.length, kept[0]?.id, kept.at(-1)?.id]).toEqual([100, 'e150', 'e51']);
  expect(recent.of('quiet')).toHaveLength(1);
});

test('of a long text the end is kept, and of long code the beginning', () => {
  const recent = new RecentExecutions();
  const code = `first${'#'.repeat(5000)}`;
  const recorder = recent.begin(session, { id: 'a', isBackground: true, context: 'main', program: code });
  recorder.ended({
    ...RESULT,
    stdout: `${'x'.repeat(5000)}last`,
    error: { name: 'E', value: 'v'.repeat(5000), traceback: '' },
  });
  const [kept] = recent.of('one');
  expect(kept?.code).toHaveLength(1000);
  expect(kept?.code).toMatch(/^first#/);
  expect(kept?.end?.stdout).toHaveLength(2000);
  expect(kept?.end?.stdout).toMatch(/xlast$/);
  expect(kept?.end?.error).toHaveLength(300);
});

test('a session is told the processor time of all its executions, and their highest memory', () => {
  const recent = new RecentExecutions();
  begin(recent, 'a').ended(RESULT);
  begin(recent, 'b').ended({ ...RESULT, cpuMs: 4, peakMemoryBytes: 50 });
  expect(recent.usageOf(session)).toEqual({ cpuMs: 7, peakMemoryBytes: 100 });
  expect(recent.usageOf({ ...session })).toEqual({ cpuMs: 0, peakMemoryBytes: 0 });
});
