import type { Duplex } from 'node:stream';

/**
 * Names a sandbox to the engine that gave it, in this process or the next; to everybody else it says nothing. Its
 * beginning tells it from others in a log.
 */
export type SandboxRef = string;

/** What a sandbox is to be, in no engine's words. Sizes in MiB, lifetime in seconds. */
export interface SandboxSpec {
  /** Random, part of the sandbox's name: says nothing of session or owner. */
  readonly key: string;
  /** The control plane that makes it. */
  readonly instance: string;
  readonly image: string;
  readonly runtime?: string;
  readonly memoryMb: number;
  readonly cpus: number;
  readonly pids: number;
  readonly diskMb: number;
  readonly maxLifetimeS: number;
}

/** What all sandboxes of one control plane have in common, as its settings ask for it. */
export type SandboxProfile = Omit<SandboxSpec, 'key' | 'instance'>;

export interface StartedSandbox {
  readonly ref: SandboxRef;
  /**
   * Whether it may be used: false when another sandbox of this engine has what was to be its alone, such as its user.
   * The caller awaits it while the runner is being reached, and removes a sandbox that may not be used.
   */
  readonly confirmed: Promise<boolean>;
}

/** A sandbox as the engine lists it. */
export interface SandboxInfo {
  readonly ref: SandboxRef;
  readonly key: string;
  readonly instance: string;
  readonly running: boolean;
}

export interface EngineInfo {
  readonly name: string;
  readonly version: string;
}

/**
 * Makes, finds and removes sandboxes. Every method rejects with `engine_unavailable` when the engine
 * does not answer, and with `sandbox_lost` when it does but the sandbox named is gone. None waits for an answer without
 * end. The tests that every engine passes are in `src/engines/engine-contract.ts`.
 */
export interface Engine {
  /** Creates and starts a sandbox. Leaves nothing behind when it fails. */
  start(spec: SandboxSpec): Promise<StartedSandbox>;
  /**
   * Starts a runner as the user of the sandbox, who has no other. Bytes of the duplex are the runner's stdin and
   * stdout; its end is the runner's. A runner outlives the connection: the next one reaches it too.
   */
  connect(ref: SandboxRef): Promise<Duplex>;
  /**
   * Ends every process of the sandbox's user; the sandbox and its files live on. True when none is seen to be left,
   * false when some may be, or when that takes longer than a caller can wait: the sandbox is then to be replaced.
   */
  endProcesses(ref: SandboxRef): Promise<boolean>;
  /** Removes a sandbox with all that is in it; one already gone is a success. */
  remove(ref: SandboxRef): Promise<void>;
  /** Sandboxes of every Glovebox on this engine. */
  list(): Promise<SandboxInfo[]>;
  info(): Promise<EngineInfo>;
}

/** An engine that is ready to make sandboxes, and what they are to be. */
export interface OpenedEngine {
  readonly engine: Engine;
  readonly profile: SandboxProfile;
}

/** Names a sandbox in a log. */
export function shortName(ref: SandboxRef): string {
  return ref.slice(0, 12);
}
