import type { ProbeReport } from '../../src/probe/report.ts';
import { type Assurances, type ExpectedSandbox, type Shortfall, TRIED_CALLS } from '../../src/sandbox/assurances.ts';
import type { SandboxProfile } from '../../src/sandbox/engine.ts';

const MIB = 2 ** 20;

/** What is asked of the sandboxes of these tests. */
export const EXPECTED: ExpectedSandbox = {
  uids: { first: 10_000, last: 59_999 },
  ...{ memoryBytes: 256 * MIB, pids: 64, cpus: 1, sharesKernel: true, refusedCalls: TRIED_CALLS },
  disks: [
    { path: '/workspace', bytes: 64 * MIB, inodes: 8192, private: true },
    { path: '/dev/shm', bytes: 16 * MIB, private: false },
  ],
  masked: ['/proc/kcore', '/sys/kernel'],
  rlimits: { NOFILE: 1024, CORE: 0 },
};

/** What the program of a probe prints in a sandbox that has all of it, on control groups of version 1. */
export const SEALED: ProbeReport = {
  users: [10_007, 10_007, 10_007, 10_007],
  capabilities: { CapPrm: '0000000000000000', CapBnd: '0000000000000000' },
  ...{ no_new_privileges: true, seccomp: '2' },
  calls: { unshare: 'EPERM', keyctl: 'EPERM', ptrace: 'EPERM', netlink: 'EPERM' },
  limits: {
    ...{ memory: String(256 * MIB), swap: null, memory_and_swap: String(256 * MIB) },
    ...{ pids: '64', cpu: '100000 100000', group_end: null },
  },
  ...{ swap_kib: 0, processors: 4 },
  disks: {
    '/workspace': { bytes: 64 * MIB, inodes: 8192, uid: 10_007, mode: 0o700, writable: true },
    '/dev/shm': { bytes: 16 * MIB, inodes: 1_000_000, uid: 0, mode: 0o1777, writable: true },
  },
  ...{ writable: [], shown: [], interfaces: ['lo'], routes: [], name_servers: ['127.0.0.1'] },
  rlimits: { NOFILE: 1016, CORE: 0 },
  oom_score: 500,
  others: [{ process: 1, done: [] }],
  ...{ main: null, full: {}, tries: {} },
  flood: { started: 58, refused: 'EAGAIN' },
  taking: { taken: 224 * MIB, ended: true },
};

/** Assurances whose word from outside, and whose fingerprint, a test sets, and with which it restarts the engine. */
export class FakeAssurances implements Assurances<SandboxProfile> {
  outside: readonly Shortfall[] = [];
  version: string | undefined = '1';
  canBeWatched = true;
  /** Tells those who watch that the engine is another. */
  restart: () => void = () => {};

  expect(): ExpectedSandbox {
    return EXPECTED;
  }

  async inspect(): Promise<readonly Shortfall[]> {
    return this.outside;
  }

  async fingerprint(): Promise<string | undefined> {
    return this.version;
  }

  async watch(onChange: () => void): Promise<boolean> {
    this.restart = onChange;
    return this.canBeWatched;
  }
}
