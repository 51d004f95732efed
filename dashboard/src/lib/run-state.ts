import type { ApiError } from '../api/error.ts';
import type { Execution, Result } from '../api/types.ts';

/** Output that has come so far. Of each stream, only the end is kept while it grows. */
export interface LiveText {
  readonly text: string;
  readonly dropped: number;
}

export interface RunState {
  readonly isRunning: boolean;
  readonly stdout: LiveText;
  readonly stderr: LiveText;
  readonly results: readonly Result[];
  readonly progress?: string | undefined;
  /** Once it has ended. */
  readonly execution?: Execution | undefined;
  readonly error?: ApiError | undefined;
}

const NOTHING: LiveText = { text: '', dropped: 0 };
const MOST_LIVE = 100_000;

export const BEGUN: RunState = { isRunning: true, stdout: NOTHING, stderr: NOTHING, results: [] };

export function appendText({ text, dropped }: LiveText, more: string): LiveText {
  const all = text + more;
  const excess = Math.max(0, all.length - MOST_LIVE);
  return { text: excess > 0 ? all.slice(excess) : all, dropped: dropped + excess };
}

/** The result has the streams as they are at the end: each line in its last state. */
export function endRun(state: RunState, execution: Execution): RunState {
  return {
    ...state,
    isRunning: false,
    progress: undefined,
    stdout: { text: execution.stdout, dropped: 0 },
    stderr: { text: execution.stderr, dropped: 0 },
    results: execution.results ?? state.results,
    execution,
  };
}
