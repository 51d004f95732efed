import type { ProbeReport } from '../../src/probe/report.ts';
import { type ExpectedSandbox, TRIED_CALLS, type TriedAddress } from '../../src/sandbox/assurances.ts';

const MIB = 2 ** 20;

/** What is asked of a pod. */
export const EXPECTED_POD: ExpectedSandbox & { readonly addresses: readonly TriedAddress[] } = {
  uids: { first: 10_000, last: 59_999 },
  ...{ memoryBytes: 256 * MIB, pids: 64, pidsFromAbove: true, cpus: 1 },
  ...{ refusedCalls: TRIED_CALLS, sharesKernel: true, sharesUser: true },
  disks: [
    { path: '/workspace', bytes: 64 * MIB, private: false, isFilled: true },
    { path: '/tmp', bytes: 16 * MIB, private: false },
    { path: '/dev/shm', bytes: 16 * MIB, private: false },
  ],
  masked: ['/proc/kcore', '/sys/firmware', '/sys/kernel'],
  rlimits: { NOFILE: 1024, CORE: 0, FSIZE: 256 * MIB, DATA: 4_831_838_208, NPROC: 64 },
  addresses: [
    { protocol: 'tcp', host: '10.112.1.1', port: 443 },
    { protocol: 'tcp', host: '10.111.1.12', port: 10_250 },
    { protocol: 'udp', host: '10.111.1.12', port: 9 },
    { protocol: 'ping', host: '10.111.1.12', port: 0 },
    { protocol: 'tcp', host: '169.254.169.254', port: 80 },
  ],
};

const NOTHING = '0000000000000000';
const disk = (sizeMb: number) => ({
  ...{ bytes: sizeMb * MIB, inodes: 3_085_510, uid: 0, mode: 0o3777, writable: true },
});

/** What the program printed in a pod of Kubernetes 1.35 whose network has `lo` alone, on control groups of version 1. */
export const POD: ProbeReport = {
  users: Array.from({ length: 7 }, () => 11_263),
  capabilities: { CapInh: NOTHING, CapPrm: NOTHING, CapEff: NOTHING, CapBnd: NOTHING, CapAmb: NOTHING },
  ...{ no_new_privileges: true, seccomp: '2' },
  calls: { unshare: 'EPERM', keyctl: 'EPERM', ptrace: 'EPERM', netlink: 'EPERM' },
  limits: {
    ...{ memory: '268435456', swap: null, memory_and_swap: '268435456' },
    ...{ pids: 'max', cpu: '100000 100000', group_end: null },
  },
  ...{ swap_kib: 0, processors: 2 },
  disks: { '/workspace': disk(64), '/tmp': disk(16), '/dev/shm': disk(16) },
  ...{ writable: [], shown: [], interfaces: ['lo'], routes: [], name_servers: ['127.0.0.1'] },
  rlimits: { NOFILE: 1024, CORE: 0, FSIZE: 268_435_456, DATA: 4_831_838_208, NPROC: 64 },
  ...{ oom_score: 0, others: [], main: { uid: 11_263, done: [], state: 'S' }, full: { '/workspace': 'ENOSPC' } },
  tries: {
    'tcp 10.112.1.1 443': 'ENETUNREACH',
    'tcp 10.111.1.12 10250': 'ENETUNREACH',
    'udp 10.111.1.12 9': 'ENETUNREACH',
    'ping 10.111.1.12 0': 'EPERM',
    'tcp 169.254.169.254 80': 'ENETUNREACH',
  },
  flood: { started: 57, refused: 'EAGAIN' },
  taking: { taken: 234_881_024, ended: true },
};

/** What it printed in a pod that shared the network of its node. The filter refuses pings everywhere. */
export const POD_IN_NETWORK_OF_NODE: ProbeReport = {
  ...POD,
  ...{ interfaces: ['lo', 'eth0'], routes: ['eth0'] },
  tries: {
    ...POD.tries,
    'tcp 10.112.1.1 443': 'answer',
    'tcp 10.111.1.12 10250': 'answer',
    'udp 10.111.1.12 9': 'ECONNREFUSED',
  },
};
