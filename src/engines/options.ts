import type { Finding } from '../lib/finding.ts';
import type { Log } from '../log.ts';

/** How an engine of any kind is opened. */
export interface EngineOpenOptions {
  /** Whether an engine may be installed, if the settings allow it too. */
  readonly mayInstall: boolean;
  readonly log: Log;
  /** Hears the steps of the set-up. */
  readonly report: (message: string) => void;
  /** Ends the set-up. */
  readonly signal?: AbortSignal;
}

/** How an engine of any kind is examined. */
export interface ExamineOptions {
  /** Hears at once what is found before the rest is. */
  readonly tell: (findings: readonly Finding[]) => void;
  /** Runs code in a sandbox of its own; what came of it, for people. */
  readonly runProbe: () => Promise<string>;
}
