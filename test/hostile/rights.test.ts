import { describe, expect, inject, test } from 'vitest';
import { expectUsable, prepareVictim, print, see } from './setup.ts';

const victim = prepareVictim();

const isGvisor = inject('isGvisor');
/** How a write to the image fails. gVisor looks at the permissions first. */
const READ_ONLY = isGvisor ? 'EACCES' : 'EROFS';
/** How a look at variables and descriptors of the main process ends: some gVisor shows these, and no secret is there. */
const SHOWN = isGvisor ? expect.stringMatching(/^(done|EACCES)$/) : 'EACCES';

const each = (paths: readonly string[], attempt: string) =>
  print(`{p: ${attempt} for p in ${JSON.stringify(paths)} if os.path.lexists(p)}`);
const OWNED = `
def files(below, wanted):
    found = []
    for folder, folders, names in os.walk(below):
        if folder.startswith(('/proc', '/sys')): folders.clear(); continue
        for name in folders + names:
            path = os.path.join(folder, name)
            try:
                if wanted(path, os.lstat(path)): found.append(path)
            except OSError: pass
    return found
import stat
`;

/** Each attempt, and what is seen of it from the inside. */
const CASES: readonly [what: string, code: string, outcome: unknown][] = [
  [
    'looks for another user than its own: it has one user, one group, and no other',
    print('[len({*os.getresuid(), *os.getresgid(), *os.getgroups()}), os.getuid() >= 1000]'),
    [1, true],
  ],
  [
    'looks for capabilities: it has none, and none to regain',
    `import ctypes\n${print(
      '[*{l.split()[1].strip("0") for l in open("/proc/self/status") if l.startswith("Cap")}, ctypes.CDLL(None).prctl(39, 0, 0, 0, 0)]',
    )}`,
    ['', 1],
  ],
  [
    'becomes root or another user: refused',
    print('[attempt(os.setuid, 0), attempt(os.setgid, 0), attempt(os.setresuid, 0, 0, 0), attempt(os.setuid, 65532)]'),
    ['EPERM', 'EPERM', 'EPERM', 'EPERM'],
  ],
  ['joins other groups: refused', print('attempt(os.setgroups, [0, 27, 999])'), 'EPERM'],
  [
    'takes capabilities for itself or its children: refused',
    `import ctypes
libc = ctypes.CDLL(None, use_errno=True)
header = (ctypes.c_uint32 * 2)(0x20080522, 0)
wanted = (ctypes.c_uint32 * 6)(*([0xffffffff] * 6))
${print('[libc.capset(header, wanted), libc.prctl(47, 2, 21, 0, 0)]')}`,
    [-1, -1],
  ],
  [
    'allows itself new rights on exec again: refused',
    `import ctypes\n${print('[ctypes.CDLL(None).prctl(38, 0, 0, 0, 0), ctypes.CDLL(None).prctl(39, 0, 0, 0, 0)]')}`,
    [-1, 1],
  ],
  [
    'looks for files that give rights: none has setuid, setgid or capabilities',
    `${OWNED}${print(
      '[files("/", lambda p, s: stat.S_ISREG(s.st_mode) and s.st_mode & 0o6000), files("/usr", lambda p, s: stat.S_ISREG(s.st_mode) and "security.capability" in os.listxattr(p, follow_symlinks=False))]',
    )}`,
    [[], []],
  ],
  [
    'makes a program of its own setuid: it runs as before',
    `import shutil, subprocess
shutil.copy("/usr/bin/id", "own-id"); os.chmod("own-id", 0o6755)
seen = subprocess.run(["./own-id", "-u"], capture_output=True, text=True).stdout.strip()
${print('[seen == str(os.getuid()), attempt(os.chown, "own-id", 0, 0)]')}`,
    [true, 'EPERM'],
  ],
  [
    'asks su, sudo and the like for root: there are none, or they refuse',
    `import shutil, subprocess
tools = [t for t in ("su", "sudo", "pkexec", "doas", "newgrp", "chsh") if shutil.which(t)]
def run(t): return subprocess.run([t], stdin=subprocess.DEVNULL, capture_output=True, timeout=10).returncode
${print('[t for t in tools if run(t) == 0 and t != "newgrp"]')}`,
    [],
  ],
  [
    'changes the system: every path but its three disks is read-only',
    `${OWNED}${print(
      '[p for p in files("/", lambda p, s: stat.S_ISDIR(s.st_mode) and os.access(p, os.W_OK)) if not p.startswith(("/workspace", "/tmp", "/dev/shm"))]',
    )}`,
    [],
  ],
  [
    'writes to the users, hosts and resolver of its container: refused',
    each(
      ['/etc/passwd', '/etc/shadow', '/etc/hosts', '/etc/resolv.conf'],
      'attempt(open, p, "a") in ("EROFS", "EACCES")',
    ),
    expect.not.objectContaining({ '/etc/passwd': false, '/etc/hosts': false }),
  ],
  [
    'writes into the interpreter, the runner or a package of the image: refused',
    print(
      '[attempt(open, os.path.join(p, "x"), "w") for p in (os.path.dirname(os.__file__), "/opt/glovebox/runner", "/usr/local/bin")]',
    ),
    [READ_ONLY, READ_ONLY, READ_ONLY],
  ],
  [
    'mounts, unmounts or changes its root: refused',
    `import ctypes
libc = ctypes.CDLL(None, use_errno=True)
def call(f, *a): ctypes.set_errno(0); return [f(*a), errno.errorcode.get(ctypes.get_errno())]
${print('[call(libc.mount, b"none", b"/tmp", b"tmpfs", 0, None), call(libc.mount, b"/", b"/tmp", None, 4096, None), call(libc.umount2, b"/proc", 2), attempt(os.chroot, "/tmp")]')}`,
    [[-1, 'EPERM'], [-1, 'EPERM'], [-1, 'EPERM'], 'EPERM'],
  ],
  [
    'makes a device of the host: refused',
    print(
      '[attempt(os.mknod, "sda", 0o600 | 0o060000, os.makedev(8, 0)), attempt(os.mknod, "mem", 0o600 | 0o020000, os.makedev(1, 1)), attempt(os.mknod, "/dev/kmsg2", 0o600 | 0o020000, os.makedev(1, 11)), attempt(open, "sda"), attempt(open, "mem")]',
    ),
    // In some releases of gVisor, a device file may be made, and stands for nothing.
    isGvisor
      ? [...Array(2).fill(expect.stringMatching(/^(done|EPERM)$/)), ...Array(3).fill(expect.stringMatching(/^E/))]
      : ['EPERM', 'EPERM', expect.stringMatching(/^E(PERM|ACCES|ROFS)$/), 'ENOENT', 'ENOENT'],
  ],
  [
    'looks for devices of the host: there are only harmless ones',
    `${OWNED}${print('sorted(set(os.path.basename(p) for p in files("/dev", lambda p, s: stat.S_ISCHR(s.st_mode) or stat.S_ISBLK(s.st_mode)) if not p.startswith("/dev/pts")) - {"console", "ptmx"})')}`,
    // Those of FUSE and of tunnels are of gVisor's own kernel.
    isGvisor
      ? ['full', 'fuse', 'null', 'random', 'tty', 'tun', 'urandom', 'zero']
      : ['full', 'null', 'random', 'tty', 'urandom', 'zero'],
  ],
  [
    'reads, opens or ends the main process: refused',
    print(
      '[attempt(open, "/proc/1/environ"), attempt(open, "/proc/1/mem"), attempt(os.listdir, "/proc/1/fd"), attempt(os.listdir, "/proc/1/root/"), attempt(os.readlink, "/proc/1/cwd"), attempt(os.kill, 1, 9), attempt(os.kill, 1, 15)]',
    ),
    [SHOWN, 'EACCES', SHOWN, 'EACCES', 'EACCES', 'EPERM', 'EPERM'],
  ],
  [
    // Podman marks each container with an empty file.
    'looks for the socket of the engine and for paths of the host: there are none',
    `${OWNED}${print(
      '[[p for p in ("/var/run/docker.sock", "/run/docker.sock", "/run/podman/podman.sock", "/run/containerd") if os.path.exists(p)], [l.split()[4] for l in open("/proc/self/mountinfo") if l.split()[4] != "/" and not (l.split()[4] == "/run/.containerenv" and open("/run/.containerenv").read() == "") and not l.split()[4].startswith(("/proc", "/sys", "/dev", "/tmp", "/workspace", "/etc/")) and not l.split()[4].endswith("-init")]]',
    )}`,
    [[], []],
  ],
  [
    'looks for secrets in its environment: no name or value is one of the server',
    print(
      '[n for n in os.environ if n.startswith("GLOVEBOX_") and n != "GLOVEBOX_SANDBOX" or "KEY" in n or "TOKEN" in n or "SECRET" in n]',
    ),
    [],
  ],
  [
    'sets the kernel of the host: every switch of it is read-only',
    print(
      '[attempt(open, "/proc/sys/kernel/core_pattern", "w"), attempt(open, "/proc/sysrq-trigger", "w"), attempt(open, "/sys/kernel/uevent_helper", "w"), attempt(open, "/proc/sys/vm/overcommit_memory", "w")]',
    ),
    [
      ...[READ_ONLY, expect.stringMatching(/^E(NOENT|ROFS|ACCES)$/), expect.stringMatching(/^E(NOENT|ROFS|ACCES)$/)],
      isGvisor ? expect.stringMatching(/^E(NOENT|ACCES)$/) : 'EROFS',
    ],
  ],
];

describe('code that', () => {
  test.each(CASES)('%s', async (_what, code, outcome) => {
    expect(await see(victim(), code)).toEqual(outcome);
    await expectUsable(victim());
  });
});
