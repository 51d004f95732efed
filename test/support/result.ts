import type { ExecutionResult } from '../../src/execution/result.ts';

/** The result of an execution that printed nothing, changed nothing and ended well. */
export const RESULT: ExecutionResult = {
  sessionId: 's',
  executionId: 'exe_a',
  status: 'ok',
  exitCode: 0,
  files: [],
  stdout: '',
  stderr: '',
  durationMs: 1,
};
