import type { ArchiveBounds } from './archives/settings.ts';
import type { EngineSettings, openEngine } from './engines/index.ts';
import type { Log } from './log.ts';
import type { DiskSizes } from './sandbox/disk-sizes.ts';
import type { Backend } from './sandbox/start-sandbox.ts';
import type { MemoryLimits } from './scheduling/memory-quota.ts';
import type { SessionLimits } from './sessions/sessions.ts';

/** What becomes of sessions at the end. */
export type OnShutdown = 'remove' | 'keep';

/** What a Glovebox is to be; the settings of the server are among them. */
export interface GloveboxSettings
  extends EngineSettings,
    Omit<SessionLimits, keyof DiskSizes>,
    MemoryLimits,
    ArchiveBounds {
  /** Holds the state of all control planes of a user: what is to outlive a process. */
  readonly stateDir: string;
  readonly maxExecutions: number;
  readonly maxExecutionsPerOwner: number;
  readonly maxFreshExecutionsPerOwner: number;
  readonly maxWaitingPerOwner: number;
  /** Sandboxes that are kept ready. */
  readonly poolSize: number;
  /** Most that are kept ready when demand is high. */
  readonly poolMax?: number;
  readonly preload: Backend['configuration']['preload'];
  readonly onShutdown: OnShutdown;
  readonly packagesAllow: readonly string[];
  readonly packagesDeny: readonly string[];
  readonly packagesSdists: 'allow' | 'deny';
  readonly cacheDir: string;
  readonly cacheMb: number;
}

export interface OpenOptions {
  /** Names this control plane among those of the state directory. */
  readonly instance: string;
  readonly log: Log;
  /** Whether a missing engine may be installed, if the settings allow it too. */
  readonly mayInstall: boolean;
  /** Whether the engine is got ready only when a sandbox is first wanted. */
  readonly lazy?: boolean;
  /** How long, in milliseconds, a call waits for the engine to be got ready; without end if left out. */
  readonly patienceMs?: number;
  /** Hears the steps of the set-up. */
  readonly onProgress?: (message: string) => void;
  /** Ends the opening. */
  readonly signal?: AbortSignal;
  /** Whether there will be a next run to keep sessions for; asked at the end. */
  readonly mayKeep?: () => Promise<boolean>;
  /** Hears while sessions are being ended, after each, how many are left. */
  readonly onEnded?: (left: number) => void;
  /** Opens the engine; for tests, which have one in memory. Default: the engine that the settings name. */
  readonly openEngine?: typeof openEngine;
}
