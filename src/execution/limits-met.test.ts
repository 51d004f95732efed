import { expect, test } from 'vitest';
import { REPORT } from '../../test/support/report.ts';
import { type ExecutionLimits, metLimit } from './limits-met.ts';
import type { ExecutionEnd } from './request.ts';

const LIMITS: ExecutionLimits = {
  execTimeoutS: 30,
  maxTimeoutS: 300,
  memoryMb: 256,
  diskMb: 64,
  tmpMb: 32,
  shmMb: 32,
  largestFileMb: 256,
  pids: 128,
};

/** The limit that is told of such an end, in which the memory limit ended a process. */
const told = (end: Pick<ExecutionEnd, 'status' | 'exitCode'>, error: typeof REPORT.error | object = null) =>
  metLimit({ ...end, report: { ...REPORT, oom_killed: true, error } } as ExecutionEnd, 30_000, LIMITS);

test.each([
  ['ok', 0],
  ['error', 1],
  ['timeout', null],
  ['cancelled', null],
] as const)('a child process that was killed for memory is told when the program ended as "%s"', (status, exitCode) => {
  const limit = told({ status, exitCode });
  expect(limit).toMatchObject({ name: 'memory_mb', value: 256, ended: 'a child process' });
  expect(limit?.setting).toMatch(/^use less .*GLOVEBOX_MEMORY_MB/);
});

test('the limit that the code was refused by goes before that of a child', () => {
  const error = { name: 'OSError', value: '', traceback: '', denied: 'disk' };
  expect(told({ status: 'error', exitCode: 1 }, error)).toMatchObject({ name: 'disk_mb' });
});

test('code that was killed for memory itself is not said to be a child', () => {
  expect(told({ status: 'out_of_memory', exitCode: null })).not.toHaveProperty('ended');
});

test('without such a kill a timeout tells of its time limit, and a good end of none', () => {
  const end = (status: ExecutionEnd['status']) => metLimit({ status, exitCode: null, report: REPORT }, 30_000, LIMITS);
  expect(end('timeout')).toEqual({ name: 'timeout_s', value: 30, setting: 'the argument timeout_s' });
  expect(end('ok')).toBeUndefined();
});

test.each([
  [
    'a command that could not fork',
    { report: { ...REPORT, command: true } },
    'bash: fork: Resource temporarily unavailable',
  ],
  [
    'a call for which there was no process',
    { failure: 'no process could be started: the sandbox is at its limit' },
    '',
  ],
  [
    'a command that tried to fork until its time was up',
    { status: 'timeout', report: { ...REPORT, command: true } },
    'bash: fork: retry: Resource temporarily unavailable',
  ],
] as const)('%s is told of the contexts whose background may hold all processes', (_what, more, stderr) => {
  const end = { status: 'error', exitCode: 1, ...more } as const;
  const settingWith = (contexts: string[]) => metLimit(end, 1, LIMITS, { stderr, contexts })?.setting;
  expect(settingWith([])).toMatch(/^start fewer processes.*is set up$/);
  expect(settingWith(['dev'])).toMatch(
    /; what runs in the background of the context dev counts too, until reset_context/,
  );
  expect(settingWith(['a', 'b'])).toContain('of the contexts a, b counts');
});
