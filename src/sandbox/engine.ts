import { GloveboxError } from '../errors.ts';
import type { PieceStream } from '../lib/reused-memory.ts';
import type { Introduction, SharedState } from '../state/state.ts';
import type { Assurances } from './assurances.ts';

/**
 * Reference to a sandbox. Only the engine that made it can interpret it, also in a later process. Its first characters
 * identify the sandbox in a log.
 */
export type SandboxRef = string;

/** Specification of a sandbox, independent of the engine. Sizes are in MiB, the lifetime in seconds. */
export interface SandboxSpec {
  /** Random part of the sandbox's name. It does not reveal session or owner. */
  readonly key: string;
  /** Name of the control plane that starts it. */
  readonly instance: string;
  readonly image: string;
  readonly runtime?: string;
  readonly memoryMb: number;
  readonly cpus: number;
  readonly pids: number;
  readonly diskMb: number;
  readonly maxLifetimeS: number;
  /** Whether it is started for a pool, without a session that it is for. Left out: no. */
  readonly isPooled?: boolean;
}

/** Specification common to all sandboxes of one control plane, from its settings. */
export type SandboxProfile = Omit<SandboxSpec, 'key' | 'instance' | 'isPooled'>;

export interface StartedSandbox {
  readonly ref: SandboxRef;
  /**
   * Whether the sandbox may be used. False when another sandbox of this engine has the same user, for example. The caller
   * awaits it while connecting to the runner, and removes a sandbox that may not be used.
   */
  readonly confirmed: Promise<boolean>;
}

/** Sandbox in the engine's list. */
export interface SandboxInfo {
  readonly ref: SandboxRef;
  readonly key: string;
  readonly instance: string;
  readonly running: boolean;
  /** Whether the engine removes it with the record of its session. Left out: no. */
  readonly isTied?: boolean;
  /** Whether it was started for a pool. Left out: no. */
  readonly isPooled?: boolean;
}

/** A sandbox that exists. Without an instance, it is a session's already. */
export type OpenedSandbox = Pick<SandboxInfo, 'ref' | 'key'> & Partial<Pick<SandboxInfo, 'instance'>>;

export interface ConnectOptions {
  /**
   * How often the session of the sandbox was claimed by a control plane. A runner refuses a lower one than it has let in.
   * Default: 0, of a sandbox that one control plane alone can have.
   */
  readonly generation?: number | undefined;
}

export interface EngineInfo {
  readonly name: string;
  readonly version: string;
}

/**
 * The engine answers, and the sandbox cannot be reached at present: its machine is cut off, for example. It may be there
 * again later, with everything in it, so it is not replaced.
 */
export class SandboxUnreachable extends GloveboxError {
  constructor(message: string, options: { readonly hint: string; readonly cause?: unknown }) {
    super('engine_unavailable', message, options);
  }
}

/**
 * Starts, lists and removes sandboxes. Every method rejects with `engine_unavailable` when the engine does not answer, and
 * with `sandbox_lost` when it answers but the sandbox is gone. Every wait has a limit. The tests that every engine passes
 * are in `src/engines/engine-contract.ts`.
 */
export interface Engine {
  /** Creates and starts a sandbox. Leaves nothing behind when it fails. */
  start(spec: SandboxSpec): Promise<StartedSandbox>;
  /**
   * Starts a runner as the sandbox's own user, or connects to the running one. The duplex carries the runner's stdin and
   * stdout, and ends with it. A runner outlives the connection, so that the next connection can reach it.
   */
  connect(ref: SandboxRef, options?: ConnectOptions): Promise<PieceStream>;
  /**
   * Ends every process of the sandbox's user. The sandbox and its files stay. Returns true if no process is left. Returns
   * false if some may be left, or if it takes too long; the caller must then replace the sandbox.
   */
  endProcesses(ref: SandboxRef): Promise<boolean>;
  /**
   * Waits until the machine of a sandbox answers, where that is not the machine of the engine. Returns for how many
   * milliseconds it did not: 0 if it answered at once.
   * @throws SandboxUnreachable if it does not
   */
  awaitMachine?(ref: SandboxRef): Promise<number>;
  /** Removes a sandbox with everything in it. Succeeds if it is gone already. */
  remove(ref: SandboxRef): Promise<void>;
  /** Lists the sandboxes of every Glovebox on this engine. */
  list(): Promise<SandboxInfo[]>;
  info(): Promise<EngineInfo>;
}

export interface JoinOptions {
  /** Name of the group: that of the instance. */
  readonly group: string;
  readonly introduction: Introduction;
  /** Seconds without a sign of life after which others take over. */
  readonly leaseS: number;
}

/** Engine that is ready to start sandboxes, and their profile. */
export interface OpenedEngine {
  readonly engine: Engine;
  readonly profile: SandboxProfile;
  /** What holds in its sandboxes. Unset for an engine in memory, whose sandboxes hold nothing. */
  readonly assurances?: Assurances<SandboxProfile> | undefined;
  /**
   * Joins a group of control planes that share the engine's sandboxes. Unset for an engine that keeps nothing for several.
   * @throws GloveboxError `engine_unavailable`
   */
  readonly join?: ((options: JoinOptions) => Promise<SharedState>) | undefined;
  /** Lets go of the engine, after all else. Unset for an engine to which no connection is kept. */
  readonly close?: (() => void) | undefined;
}

/** Returns the name of a sandbox for logs. */
export function shortName(ref: SandboxRef): string {
  return ref.slice(0, 12);
}
