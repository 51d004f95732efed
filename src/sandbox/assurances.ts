/**
 * What protects the machine and other sandboxes from the code in a sandbox. These are the names by which a shortfall is
 * told, and allowed.
 */
export const PROTECTIONS = [
  'user',
  'capabilities',
  'privileges',
  'seccomp',
  'namespaces',
  'memory',
  'swap',
  'pids',
  'cpu',
  'disks',
  'inodes',
  'writable',
  'masks',
  'network',
  'resolver',
  'rlimits',
  'oom',
  'oom-group',
  'main-process',
] as const;

export type Protection = (typeof PROTECTIONS)[number];

/** Without these, code harms its own session only. They are told when they are missing, and no reason to refuse. */
export const NOT_REFUSED: readonly Protection[] = ['oom-group'];

/** A protection that was asked for and is not there. */
export interface Shortfall {
  readonly name: Protection;
  /** What was found instead, for people. */
  readonly found: string;
}

/** A writable folder. */
export interface ExpectedDisk {
  readonly path: string;
  readonly bytes: number;
  /** Most files. Undefined where the memory limit alone bounds them. */
  readonly inodes?: number;
  /** Whether it is closed to all but the sandbox's user. */
  readonly private: boolean;
  /** Whether it is to be filled for real, rather than read how much it takes. */
  readonly isFilled?: boolean;
}

/** System calls that a probe tries, of which each ends otherwise than with a refusal where there is no filter. */
export const TRIED_CALLS = ['unshare', 'keyctl', 'ptrace', 'netlink'] as const;

/** An address that a probe tries to reach from inside. The port of a ping is 0. */
export interface TriedAddress {
  readonly protocol: 'tcp' | 'udp' | 'ping';
  /** Address of IPv4 or IPv6. */
  readonly host: string;
  readonly port: number;
}

/** What must hold in a sandbox, as its code sees it. */
export interface ExpectedSandbox {
  /** Range of the user ids that its code may have. */
  readonly uids: { readonly first: number; readonly last: number };
  readonly memoryBytes: number;
  readonly pids: number;
  /** Whether the limit of processes stands above the control group that the sandbox sees: there it can only be met. */
  readonly pidsFromAbove?: boolean;
  readonly cpus: number;
  /** Calls that the filter refuses. */
  readonly refusedCalls: readonly (typeof TRIED_CALLS)[number][];
  /** Whether the main process has the user of the code, and withstands it by itself. */
  readonly sharesUser?: boolean;
  /**
   * Whether the kernel of the engine's machine runs the code. With a kernel of its own, as in gVisor, there is no system
   * call filter, nothing of the machine to be masked, and limits cannot be met without the loss of the sandbox.
   */
  readonly sharesKernel: boolean;
  readonly disks: readonly ExpectedDisk[];
  /** Paths that are absent, empty or closed. */
  readonly masked: readonly string[];
  /** Highest values of resource limits, by their names without `RLIMIT_`. */
  readonly rlimits: Readonly<Record<string, number>>;
}

/** What an engine assures of its sandboxes, and how that is looked at. */
export interface Assurances<Profile> {
  /** What must hold in a sandbox of that profile. */
  expect(profile: Profile): ExpectedSandbox;
  /** Compares a running sandbox with what was asked of the engine, as the engine tells it. */
  inspect(ref: string, profile: Profile): Promise<readonly Shortfall[]>;
  /**
   * Addresses that code may not reach, for a sandbox with interfaces of its own. Unset for an engine whose sandboxes have
   * no interface but `lo`.
   */
  addresses?(ref: string): Promise<readonly TriedAddress[]>;
  /** What to do on this engine about protections that are missing, where that differs from the usual. */
  readonly advice?: Partial<Readonly<Record<Protection, string>>>;
  /**
   * Identifies the engine as it runs, the image and the options of its sandboxes: while it stays the same, so does what a
   * look at a sandbox finds. Undefined if the engine does not tell enough.
   */
  fingerprint(): Promise<string | undefined>;
  /**
   * Has `onChange` called once the engine has ended, or has taken other settings. Returns false if it cannot be watched so.
   */
  watch(onChange: () => void, signal: AbortSignal): Promise<boolean>;
}
