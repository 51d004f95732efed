import { describe, expect, inject, test } from 'vitest';
import { DROPPED } from '../../src/engines/hardening/syscalls.ts';
import { SYSCALL_NUMBERS } from '../hardening/syscall-table.ts';
import { FOREIGN_CALLS, SYSCALL } from '../support/canary.ts';
import { expectUsable, prepareVictim, print, see } from './setup.ts';

const victim = prepareVictim();

/** With gVisor, code calls a kernel of its sandbox's own, which no filter of ours stands before. */
const sharesKernel = !inject('isGvisor');

/** The groups of calls that `syscalls.ts` drops, by their first calls. */
const GROUPS = DROPPED.map(({ names }) => {
  const more = names.length - 3;
  return [`${names.slice(0, 3).join(', ')}${more > 0 ? ` and ${more} more` : ''}`, names] as const;
});

describe.runIf(sharesKernel)('code that calls', () => {
  test.runIf(process.arch === 'x64').each(GROUPS)('%s: refused', async (_what, names) => {
    const numbers = names.map((name) => SYSCALL_NUMBERS.get(name));
    const answers = await see(
      victim(),
      `${SYSCALL}\nprint(json.dumps(sorted({call(n, 0, 0, 0, 0, 0, 0) for n in ${JSON.stringify(numbers)}})))`,
    );
    for (const answer of answers as string[]) expect(['EPERM', 'ENOSYS']).toContain(answer);
    await expectUsable(victim());
  });
});

const ON_X64: readonly [what: string, code: string, outcome: unknown][] = [
  ['makes 32-bit calls: the process that does is ended', `${FOREIGN_CALLS}${print('fate(compat)')}`, 'SIGSYS'],
  ['makes x32 calls: the process that does is ended', `${FOREIGN_CALLS}${print('fate(x32)')}`, 'SIGSYS'],
  [
    'makes a namespace by clone, whatever else is in the flags: refused',
    print(
      'sorted({call(56, base | flag | 17, 0, 0, 0, 0) for flag in (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000) for base in (0, 1 << 32)})',
    ),
    ['EPERM'],
  ],
  [
    'types into a terminal of its own, for another to read: refused',
    `import pty
leader, terminal = pty.openpty()
letter = ctypes.addressof(ctypes.create_string_buffer(b'x'))
${print('[call(16, terminal, high | command, letter) for command in (0x5412, 0x541c, 0x5423) for high in (0, 1 << 32)]')}`,
    Array.from({ length: 6 }, () => 'EPERM'),
  ],
  [
    'sets the limits of another process: refused',
    `class Limit(ctypes.Structure): _fields_ = [('soft', ctypes.c_uint64), ('hard', ctypes.c_uint64)]
limit = Limit(10, 10)
${print('[call(302, os.getppid(), 7, ctypes.addressof(limit), 0), call(302, 1, 7, ctypes.addressof(limit), 0)]')}`,
    [expect.stringMatching(/^E/), expect.stringMatching(/^E/)],
  ],
];

const FILTERED: readonly [what: string, code: string, outcome: unknown][] = [
  [
    'opens sockets of other families than UNIX and IP, such as AF_VSOCK and netlink: refused',
    `import socket\n${print('sorted({attempt(socket.socket, f, t, 0) for f in range(47) if f not in (1, 2, 10) for t in (1, 2, 3, 5)})')}`,
    ['EPERM'],
  ],
  [
    'opens raw sockets, or IP of other protocols than TCP and UDP: refused',
    `import socket\n${print('sorted({attempt(socket.socket, f, t, p) for f in (2, 10) for t, p in ((1, 132), (1, 262), (2, 1), (2, 58), (2, 136), (3, 0), (3, 255), (5, 0))})')}`,
    ['EPERM'],
  ],
  [
    'sets a filter of its own: refused',
    `libc.prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4\n${print('[libc.prctl(22, 1, 0, 0, 0), errno.errorcode[ctypes.get_errno()], libc.prctl(22, 2, 0, 0, 0)]')}`,
    [-1, 'EPERM', -1],
  ],
  [
    'reads what the kernel tells of the host: masked',
    `def size(p):
    try: return len(os.listdir(p)) if os.path.isdir(p) else len(open(p, 'rb').read(64))
    except OSError: return 0
${print('[p for p in ("/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/interrupts", "/proc/cmdline", "/proc/kallsyms", "/proc/diskstats", "/proc/sched_debug", "/proc/scsi", "/proc/acpi", "/sys/firmware", "/sys/kernel", "/sys/module", "/dev/mqueue") if size(p)]')}`,
    [],
  ],
];

const ANYWHERE: typeof FILTERED = [
  [
    'finds its way in the control groups of the host: it sees its own as the top, and writes to none',
    `${print('[[l for l in open("/proc/self/cgroup").read().split() if "docker" in l or "libpod" in l], [p for p, _, _ in os.walk("/sys/fs/cgroup") if os.access(p, os.W_OK)]]')}`,
    [[], []],
  ],
  [
    'reads the log of the kernel: refused',
    `${print('[attempt(open, "/dev/kmsg"), attempt(open, "/proc/kmsg")]')}`,
    [expect.stringMatching(/^E/), expect.stringMatching(/^E/)],
  ],
];

describe('code that', () => {
  test.runIf(sharesKernel && process.arch === 'x64').each(ON_X64)('%s', async (_what, code, outcome) => {
    expect(await see(victim(), `${SYSCALL}\n${code}`)).toEqual(outcome);
    await expectUsable(victim());
  });

  test.runIf(sharesKernel).each(FILTERED)('%s', async (_what, code, outcome) => {
    expect(await see(victim(), `${SYSCALL}\n${code}`)).toEqual(outcome);
    await expectUsable(victim());
  });

  test.each(ANYWHERE)('%s', async (_what, code, outcome) => {
    expect(await see(victim(), `${SYSCALL}\n${code}`)).toEqual(outcome);
    await expectUsable(victim());
  });
});
