import { ALLOWED, COUNTED_FOR_OWNER, DROPPED, type Refusal } from './syscalls.ts';

/** A comparison of one argument. For SCMP_CMP_MASKED_EQ, `value` is the mask, and `valueTwo` the expected result. */
export interface SeccompArgument {
  readonly index: number;
  readonly value: number;
  readonly valueTwo: number;
  readonly op: 'SCMP_CMP_MASKED_EQ';
}

interface SeccompRule {
  readonly names: readonly string[];
  readonly action: 'SCMP_ACT_ALLOW' | 'SCMP_ACT_ERRNO';
  readonly errnoRet?: number;
  readonly args?: readonly SeccompArgument[];
}

/** A profile in JSON for the option `seccomp=` of container engines (docs.docker.com/engine/security/seccomp). */
export interface SeccompProfile {
  readonly defaultAction: 'SCMP_ACT_ERRNO';
  readonly defaultErrnoRet: number;
  readonly archMap: readonly { readonly architecture: string; readonly subArchitectures: readonly string[] }[];
  readonly syscalls: readonly SeccompRule[];
}

const ERRNO: Readonly<Record<Refusal | 'EMFILE', number>> = { EPERM: 1, EMFILE: 24, ENOSYS: 38 };

/** Mask of the lower 32 bits. A filter sees 64 bits, but the kernel reads these arguments as 32-bit words. */
const LOW_WORD = 0xffff_ffff;

/** Mask of CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET (linux/sched.h). */
const NAMESPACE_FLAGS = 0x7e02_0000;

const AF_UNIX = 1;
const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
/** Mask of SOCK_CLOEXEC and SOCK_NONBLOCK, which are flags in the type of a socket. */
const SOCK_FLAGS = 0x8_0800;
const IPPROTO_DEFAULT = 0;
const IPPROTO_TCP = 6;
const IPPROTO_UDP = 17;

/**
 * Terminal ioctls that have been used to escape from containers (asm-generic/ioctls.h). TIOCSTI and TIOCLINUX insert
 * input into a terminal. TIOCSETD loads line disciplines (n_hdlc, n_gsm) into the kernel.
 */
const REFUSED_IOCTLS = [0x5412, 0x541c, 0x5423] as const;

/**
 * The prctl options that a program may use (linux/prctl.h). Not allowed on purpose: PR_SET_SECCOMP (like the system
 * call seccomp), PR_SET_MM, PR_SET_MEMORY_MERGE (merged pages reveal the memory of other processes) and PR_SCHED_CORE.
 */
const PRCTL_OPTIONS: Readonly<Record<string, number>> = {
  PR_SET_PDEATHSIG: 1,
  PR_GET_PDEATHSIG: 2,
  PR_GET_DUMPABLE: 3,
  PR_SET_DUMPABLE: 4,
  PR_SET_NAME: 15,
  PR_GET_NAME: 16,
  PR_GET_SECCOMP: 21,
  PR_CAPBSET_READ: 23,
  PR_GET_SECUREBITS: 27,
  PR_SET_TIMERSLACK: 29,
  PR_GET_TIMERSLACK: 30,
  PR_SET_CHILD_SUBREAPER: 36,
  PR_GET_CHILD_SUBREAPER: 37,
  PR_SET_NO_NEW_PRIVS: 38,
  PR_GET_NO_NEW_PRIVS: 39,
  PR_GET_TID_ADDRESS: 40,
  PR_SET_THP_DISABLE: 41,
  PR_GET_THP_DISABLE: 42,
  PR_SVE_SET_VL: 50,
  PR_SVE_GET_VL: 51,
  PR_GET_SPECULATION_CTRL: 52,
  PR_SET_SPECULATION_CTRL: 53,
  PR_PAC_RESET_KEYS: 54,
  PR_SET_TAGGED_ADDR_CTRL: 55,
  PR_GET_TAGGED_ADDR_CTRL: 56,
  PR_SME_SET_VL: 63,
  PR_SME_GET_VL: 64,
  PR_GET_AUXV: 0x4155_5856,
  PR_SET_VMA: 0x5356_4d41,
};

function masked(index: number, mask: number, rest: number): SeccompArgument {
  return { index, value: mask, valueTwo: rest, op: 'SCMP_CMP_MASKED_EQ' };
}

function word(index: number, value: number): SeccompArgument {
  return masked(index, LOW_WORD, value);
}

function allowed(name: string, ...args: readonly SeccompArgument[]): SeccompRule {
  return { names: [name], action: 'SCMP_ACT_ALLOW', args };
}

/**
 * Makes comparisons that together match every 32-bit word except for `values`. Rules can only be joined by "or", and
 * "greater than" would include the upper half that the kernel ignores. So the other words are covered by prefixes, as
 * with networks of IP addresses.
 */
export function allWordsBut(index: number, values: readonly number[], bit = 31, prefix = 0): SeccompArgument[] {
  if (values.length === 0) return [masked(index, 2 ** 32 - 2 ** (bit + 1), prefix)];
  if (bit < 0) return [];
  const half = prefix + 2 ** bit;
  return [
    ...allWordsBut(
      index,
      values.filter((value) => value < half),
      bit - 1,
      prefix,
    ),
    ...allWordsBut(
      index,
      values.filter((value) => value >= half),
      bit - 1,
      half,
    ),
  ];
}

/**
 * Allows only TCP and UDP sockets. SCTP, DCCP, MPTCP and raw sockets would load kernel modules with a larger attack
 * surface.
 */
function internetRules(family: number): SeccompRule[] {
  const kinds = [
    { type: SOCK_STREAM, protocols: [IPPROTO_DEFAULT, IPPROTO_TCP] },
    { type: SOCK_DGRAM, protocols: [IPPROTO_DEFAULT, IPPROTO_UDP] },
  ];
  return kinds.flatMap(({ type, protocols }) =>
    protocols.map((protocol) =>
      allowed('socket', word(0, family), masked(1, LOW_WORD - SOCK_FLAGS, type), word(2, protocol)),
    ),
  );
}

function filteredRules(): SeccompRule[] {
  return [
    allowed('clone', masked(0, NAMESPACE_FLAGS, 0)),
    ...allWordsBut(1, REFUSED_IOCTLS).map((argument) => allowed('ioctl', argument)),
    ...Object.values(PRCTL_OPTIONS).map((option) => allowed('prctl', word(0, option))),
    // Only the limits of the process itself: lowered limits of the runner would affect all later executions.
    allowed('prlimit64', word(0, 0)),
    allowed('socket', word(0, AF_UNIX)),
    ...internetRules(AF_INET),
    ...internetRules(AF_INET6),
    allowed('socketpair', word(0, AF_UNIX)),
  ];
}

/**
 * Makes the seccomp profile of a sandbox. It needs no-new-privileges, and an x86_64 or aarch64 kernel. For the filter,
 * 32-bit and x32 calls belong to another architecture, so they kill the process.
 * @param remapped whether the sandbox is in a user namespace
 */
export function seccompProfile({ remapped = false }: { readonly remapped?: boolean | undefined } = {}): SeccompProfile {
  // As if the user's share were used up, which programs that watch files know how to go on from.
  const exhausted = remapped ? COUNTED_FOR_OWNER : [];
  const allowedAlways = ALLOWED.flatMap(({ names }) => names).filter((name) => !exhausted.includes(name));
  const missing = DROPPED.filter(({ refusal }) => refusal === 'ENOSYS').flatMap(({ names }) => names);
  return {
    defaultAction: 'SCMP_ACT_ERRNO',
    defaultErrnoRet: ERRNO.EPERM,
    archMap: [
      { architecture: 'SCMP_ARCH_X86_64', subArchitectures: [] },
      { architecture: 'SCMP_ARCH_AARCH64', subArchitectures: [] },
    ],
    syscalls: [
      { names: allowedAlways.sort(), action: 'SCMP_ACT_ALLOW' },
      { names: missing.sort(), action: 'SCMP_ACT_ERRNO', errnoRet: ERRNO.ENOSYS },
      ...(remapped ? [{ names: exhausted, action: 'SCMP_ACT_ERRNO', errnoRet: ERRNO.EMFILE } as const] : []),
      ...filteredRules(),
    ],
  };
}
