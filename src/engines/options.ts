import type { Finding } from '../lib/finding.ts';
import type { Log } from '../log.ts';

/** Options for opening an engine. */
export interface EngineOpenOptions {
  /** Whether an engine may be installed, if the settings allow it too. */
  readonly mayInstall: boolean;
  readonly log: Log;
  /** Called with each step of the set-up. */
  readonly report: (message: string) => void;
  /** Ends the set-up. */
  readonly signal?: AbortSignal;
}

/** Options for examining an engine. */
export interface ExamineOptions {
  /** Called with each finding as soon as it is known. */
  readonly tell: (findings: readonly Finding[]) => void;
  /** Runs code in a new sandbox, and looks at what holds there. */
  readonly runProbe: () => Promise<readonly Finding[]>;
}
