import type { Duplex } from 'node:stream';

/**
 * Users of sessions: a range that fits a user-namespace map of 65 536.
 * The first of them have names in the image; all would add 130 ms to each start, for the engine reads them then.
 */
export const SESSION_UIDS = { first: 10_000, last: 59_999, lastNamed: 11_999 } as const;

/** What a sandbox is to be, in no engine's words. Sizes in MiB, lifetime in seconds. */
export interface SandboxSpec {
  /** Random, part of the container's name: says nothing of session or owner. */
  readonly key: string;
  /** The control plane that makes it. */
  readonly instance: string;
  /** The user that the runner and the code run as, this sandbox's alone. */
  readonly uid: number;
  readonly image: string;
  readonly runtime?: string;
  readonly memoryMb: number;
  readonly cpus: number;
  readonly pids: number;
  readonly diskMb: number;
  readonly maxLifetimeS: number;
}

/** What all sandboxes of one control plane have in common, as its settings ask for it. */
export type SandboxProfile = Omit<SandboxSpec, 'key' | 'instance' | 'uid'>;

/** A sandbox as the engine lists it. */
export interface SandboxInfo {
  readonly id: string;
  readonly key: string;
  readonly instance: string;
  readonly uid: number;
  readonly running: boolean;
}

export interface EngineInfo {
  readonly name: string;
  readonly version: string;
}

/**
 * Makes, finds and removes sandboxes. Every method rejects with `engine_unavailable` when the engine
 * does not answer, and with `sandbox_lost` when it does but the sandbox named is gone.
 */
export interface Engine {
  /** Creates and starts a sandbox; its id. Leaves nothing behind when it fails. */
  start(spec: SandboxSpec): Promise<string>;
  /** Starts a runner as `uid`. Bytes of the duplex are the runner's stdin and stdout; its end is the runner's. */
  connect(id: string, uid: number): Promise<Duplex>;
  /**
   * Ends every process of `uid` in the sandbox; the container and its files live on. False when the one that was to
   * do so ended without a word: something has killed it.
   */
  killUser(id: string, uid: number): Promise<boolean>;
  /** Whether any process of `uid` runs in the sandbox, as seen from outside it. */
  hasProcesses(id: string, uid: number): Promise<boolean>;
  /** Removes a sandbox with all that is in it; one already gone is a success. */
  remove(id: string): Promise<void>;
  /** Sandboxes of every Glovebox on this engine: all, or at least those of `uid`, which takes the engine far less. */
  list(uid?: number): Promise<SandboxInfo[]>;
  info(): Promise<EngineInfo>;
}

/** An engine that is ready to make sandboxes, and what they are to be. */
export interface OpenedEngine {
  readonly engine: Engine;
  readonly profile: SandboxProfile;
}
