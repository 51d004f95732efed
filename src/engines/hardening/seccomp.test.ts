import { describe, expect, test } from 'vitest';
import { SYSCALL_NUMBERS } from '../../../test/hardening/syscall-table.ts';
import { allWordsBut, type SeccompArgument, seccompProfile } from './seccomp.ts';
import { ALLOWED, DROPPED, FILTERED } from './syscalls.ts';

const allowed = ALLOWED.flatMap(({ names }) => names);
const dropped = DROPPED.flatMap(({ names }) => names);

/** What a 64-bit argument does with one masked comparison. */
function matches(argument: SeccompArgument, value: bigint): boolean {
  return (value & BigInt(argument.value)) === BigInt(argument.valueTwo);
}

/** Whether the profile lets a call with these arguments through. */
function permits(name: string, ...values: (number | bigint)[]): boolean {
  return seccompProfile().syscalls.some(
    (rule) =>
      rule.action === 'SCMP_ACT_ALLOW' &&
      rule.names.includes(name) &&
      (rule.args ?? []).every((argument) => matches(argument, BigInt(values[argument.index] ?? 0))),
  );
}

describe('the lists', () => {
  test('every system call that the kernel knows is decided, and exactly once', () => {
    const decided = [...allowed, ...FILTERED, ...dropped];
    expect(new Set(decided).size).toBe(decided.length);
    expect(decided.toSorted()).toEqual([...SYSCALL_NUMBERS.keys()].sort());
  });

  test.each([...ALLOWED, ...DROPPED])('the group of $names.0 is sorted and not empty', ({ names }) => {
    expect(names).not.toEqual([]);
    expect(names).toEqual(names.toSorted());
  });

  test('every dropped call has its reason', () => {
    for (const { reason } of DROPPED) expect(reason).toMatch(/\.$/);
  });
});

describe('the profile', () => {
  test('refuses what it does not name', () => {
    expect(seccompProfile()).toMatchObject({ defaultAction: 'SCMP_ACT_ERRNO', defaultErrnoRet: 1 });
  });

  test('covers 64-bit calls only', () => {
    expect(seccompProfile().archMap).toEqual([
      { architecture: 'SCMP_ARCH_X86_64', subArchitectures: [] },
      { architecture: 'SCMP_ARCH_AARCH64', subArchitectures: [] },
    ]);
  });

  test('allows nothing that is dropped', () => {
    for (const name of dropped) expect(permits(name), name).toBe(false);
  });

  test('answers clone3 with ENOSYS, so that libc falls back to clone', () => {
    const rule = seccompProfile().syscalls.find(({ names }) => names.includes('clone3'));
    expect(rule).toMatchObject({ action: 'SCMP_ACT_ERRNO', errnoRet: 38 });
  });

  test('refuses in a user namespace, as if it were used up, what all sandboxes there would share', () => {
    const { syscalls } = seccompProfile({ remapped: true });
    const rules = syscalls.filter(({ names }) => names.some((name) => name.startsWith('inotify_init')));
    expect(rules).toEqual([{ names: ['inotify_init', 'inotify_init1'], action: 'SCMP_ACT_ERRNO', errnoRet: 24 }]);
    expect(permits('inotify_init1')).toBe(true);
  });

  test('lets clone make threads and processes, but no namespace of any kind', () => {
    expect(permits('clone', 0x3d0f00)).toBe(true);
    expect(permits('clone', 0x1200011)).toBe(true);
    for (const flag of [0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000]) {
      expect(permits('clone', flag), flag.toString(16)).toBe(false);
      expect(permits('clone', flag | 0x11), flag.toString(16)).toBe(false);
    }
  });

  test('lets sockets be UNIX, TCP and UDP, and nothing else', () => {
    const nonBlocking = 0x80800;
    expect(permits('socket', 1, 1 | nonBlocking, 0)).toBe(true);
    for (const family of [2, 10]) {
      for (const [type, protocol] of [
        [1, 0],
        [1, 6],
        [2, 0],
        [2, 17],
      ] as const) {
        expect(permits('socket', family, type | nonBlocking, protocol)).toBe(true);
      }
      for (const [type, protocol] of [
        [1, 132],
        [1, 262],
        [2, 1],
        [3, 0],
        [5, 0],
        [6, 0],
      ] as const) {
        expect(permits('socket', family, type, protocol), `${family} ${type} ${protocol}`).toBe(false);
      }
    }
    for (const family of [0, 3, 16, 17, 30, 38, 40, 44]) {
      expect(permits('socket', family, 1, 0)).toBe(false);
      expect(permits('socketpair', family, 1, 0)).toBe(false);
    }
  });

  test.each([0x5412n, 0x541cn, 0x5423n])('refuses ioctl %x, whatever the upper half of the word holds', (command) => {
    expect(permits('ioctl', 0, command)).toBe(false);
    expect(permits('ioctl', 0, command | (1n << 32n))).toBe(false);
    expect(permits('ioctl', 0, command | 0xffff_ffff_0000_0000n)).toBe(false);
    for (let bit = 0n; bit < 32n; bit += 1n) expect(permits('ioctl', 0, command ^ (1n << bit))).toBe(true);
  });

  test('lets a program name itself and die with its parent, but not install filters', () => {
    for (const option of [1, 4, 15, 36]) expect(permits('prctl', option)).toBe(true);
    for (const option of [22, 35, 67]) expect(permits('prctl', option)).toBe(false);
  });
});

test.each([
  { values: [] },
  { values: [0] },
  { values: [0xffff_ffff] },
  { values: [1, 2, 3, 4] },
  { values: [0, 0x8000_0000, 0xffff_ffff] },
])('all words but $values are matched, each by one comparison', ({ values }) => {
  const comparisons = allWordsBut(0, values);
  const probes = new Set([0, 5, 0x7fff_ffff, 0x8000_0001, 0xffff_fffe, ...values]);
  for (const probe of probes) {
    const hits = comparisons.filter((comparison) => matches(comparison, BigInt(probe))).length;
    expect(hits, String(probe)).toBe(values.includes(probe) ? 0 : 1);
  }
});
