import type { ArchivePlace } from './archives/place.ts';
import type { ArchiveBounds } from './archives/settings.ts';
import type { WebOfOwner } from './egress/policy/policy.ts';
import type { GroupOptions, GroupSettings } from './engines/group.ts';
import type { EngineSettings, openEngine } from './engines/index.ts';
import type { AuthKind } from './lib/login/auth-kind.ts';
import type { Log } from './log.ts';
import type { Protection } from './sandbox/assurances.ts';
import type { DiskSizes } from './sandbox/disk-sizes.ts';
import type { Backend } from './sandbox/start-sandbox.ts';
import type { MemoryLimits } from './scheduling/memory-quota.ts';
import type { SessionLimits } from './sessions/sessions.ts';

/** What to do with sessions at shutdown. */
export type OnShutdown = 'remove' | 'keep';

/** Settings of a Glovebox. Those of a server are a superset. */
export interface GloveboxSettings
  extends EngineSettings,
    GroupSettings,
    Omit<SessionLimits, keyof DiskSizes>,
    MemoryLimits,
    ArchiveBounds,
    Omit<ArchivePlace, 'hostEnvironment'> {
  readonly hostEnvironment: EngineSettings['hostEnvironment'] & ArchivePlace['hostEnvironment'];
  /** Holds the state of all control planes of a user: what is to outlive a process. */
  readonly stateDir: string;
  /** File of the secrets. Default: one in the state directory. */
  readonly secretsFile?: string | undefined;
  /** File of the key that encrypts them. Default: one beside it. */
  readonly secretsKeyFile?: string | undefined;
  readonly maxExecutions: number;
  readonly maxExecutionsPerOwner: number;
  readonly maxFreshExecutionsPerOwner: number;
  readonly maxWaitingPerOwner: number;
  /** Number of sandboxes kept ready. */
  readonly poolSize: number;
  /** Largest number kept ready when demand is high. */
  readonly poolMax?: number;
  /** Protections that sandboxes may lack. */
  readonly allowMissing: readonly Protection[];
  readonly preload: Backend['configuration']['preload'];
  /** Memory in MiB for modules that sandboxes load because other sessions used them. */
  readonly preloadMb: number;
  readonly onShutdown: OnShutdown;
  readonly packagesAllow: readonly string[];
  readonly packagesDeny: readonly string[];
  readonly packagesSdists: 'allow' | 'deny';
  /** File of servers whose tools code may call. */
  readonly tools?: string | undefined;
  /** Whether that file may name commands (1). */
  readonly toolsStdio: number;
  /** Patterns of hosts that code may reach. Empty: none. */
  readonly egress: readonly string[];
  /** Private addresses and networks that these hosts may have. */
  readonly egressPrivate: readonly string[];
  /** MiB that one execution may send to hosts, and receive. */
  readonly egressMb: number;
  readonly egressConnections: number;
  readonly egressConnectionsPerOwner: number;
  readonly egressIdleS: number;
  /** Whether owners have keys or tokens. Default: all is done by one owner. */
  readonly auth?: AuthKind | undefined;
  readonly cacheDir: string;
  readonly cacheMb: number;
  /** Bucket of a cache of packages that several servers share. Default: none. */
  readonly sharedCache?: string | undefined;
  readonly sharedCacheDays: number;
}

export interface OpenOptions extends GroupOptions {
  /** Name of this control plane among those of the state directory, or of its group. */
  readonly instance: string;
  readonly log: Log;
  /** Whether a missing engine may be installed, if the settings allow it too. */
  readonly mayInstall: boolean;
  /** Whether to set up the engine only when the first sandbox is needed. */
  readonly lazy?: boolean;
  /** Whether the opening waits until the sessions of the last run are adopted. Default: they are adopted meanwhile. */
  readonly adoptFirst?: boolean;
  /** Sessions of the last run are adopted from then on, but at once for a call. Default: from the set-up on. */
  readonly adoptAfter?: Promise<void>;
  /** Whether to look into a sandbox in any case, rather than believe an earlier look. */
  readonly mustLook?: boolean;
  /** Longest time that a call waits for the set-up of the engine, in milliseconds. Default: no limit. */
  readonly patienceMs?: number;
  /** Called with each step of the set-up. */
  readonly onProgress?: (message: string) => void;
  /** Ends the opening. */
  readonly signal?: AbortSignal;
  /** Tells at shutdown whether to expect a next run, for which to keep sessions. */
  readonly mayKeep?: () => Promise<boolean>;
  /** Called at shutdown after each ended session, with the number of remaining ones. */
  readonly onEnded?: (left: number) => void;
  /** How the keys of an owner narrow what its code may reach. Default: not at all. */
  readonly webOfOwner?: WebOfOwner | undefined;
  /** Opens the engine. For tests with an engine in memory. Default: the engine that the settings name. */
  readonly openEngine?: typeof openEngine;
}
