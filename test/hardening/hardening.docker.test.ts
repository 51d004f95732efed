import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { DROPPED } from '../../src/engines/hardening/syscalls.ts';
import { ATTEMPT, type Canary, FOREIGN_CALLS, SYSCALL, startCanary } from '../support/canary.ts';
import { SYSCALL_NUMBERS } from './syscall-table.ts';

const isGvisor = inject('isGvisor');

let sandbox: Canary;
beforeAll(async () => {
  sandbox = await startCanary();
});
afterAll(async () => {
  await sandbox[Symbol.asyncDispose]();
});

describe('who the code is', () => {
  test('its own user, with no capability and no way to gain one', async () => {
    const { uid } = sandbox.spec;
    const [ids, groups, ...rest] = (await sandbox.see(`
import ctypes
status = dict(line.split(':\\t', 1) for line in open('/proc/self/status').read().splitlines() if ':\\t' in line)
# gVisor's kernel knows no ambient capabilities.
print(json.dumps([[os.getresuid(), os.getresgid()], os.getgroups(),
    [status.get(k, '0' * 16) for k in ('CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb')],
    ctypes.CDLL(None).prctl(39, 0, 0, 0, 0), status['Seccomp']]))`)) as unknown[];
    const none = '0'.repeat(16);
    expect(ids).toEqual([
      [uid, uid, uid],
      [uid, uid, uid],
    ]);
    // Some versions of Podman give none to a user without a name.
    expect([[uid], []]).toContainEqual(groups);
    // With gVisor, the engine's filter is around gVisor itself.
    expect(rest).toEqual([[none, none, none, none, none], 1, isGvisor ? '0' : '2']);
  });

  test('no file in the image raises its user, and setuid calls are refused', async () => {
    const seen = await sandbox.see(`${ATTEMPT}
import stat
found = []
for folder, _, names in os.walk('/'):
    if folder.startswith(('/proc', '/sys')): continue
    for name in names:
        mode = os.lstat(os.path.join(folder, name)).st_mode
        if stat.S_ISREG(mode) and mode & (stat.S_ISUID | stat.S_ISGID): found.append(os.path.join(folder, name))
print(json.dumps([found, attempt(os.setuid, 0), attempt(os.setgroups, [0])]))`);
    expect(seen).toEqual([[], 'EPERM', 'EPERM']);
  });

  test('the main process cannot be read, opened or killed', async () => {
    const seen = await sandbox.see(`${ATTEMPT}
main = [p for p in os.listdir('/proc') if p.isdigit() and os.stat('/proc/' + p).st_uid != os.getuid()]
print(json.dumps({p: [open('/proc/%s/comm' % p).read().strip(), attempt(open, '/proc/%s/environ' % p),
    attempt(open, '/proc/%s/mem' % p), attempt(os.listdir, '/proc/%s/fd' % p), attempt(open, '/proc/%s/fd/1' % p, 'w'),
    attempt(os.readlink, '/proc/%s/root' % p), attempt(os.kill, int(p), 9)] for p in main}))`);
    // Some releases of gVisor show the main process's variables, where there is no secret, and the numbers of its descriptors.
    const shown = isGvisor ? expect.stringMatching(/^(done|EACCES)$/) : 'EACCES';
    const refused = [shown, 'EACCES', shown, 'EACCES', 'EACCES', 'EPERM'];
    expect(Object.values(seen as object)).toEqual([
      [inject('isPodman') ? 'podman-init' : 'docker-init', ...refused],
      ['sleep', ...refused],
    ]);
  });
});

// gVisor's own kernel answers there: see docs/decisions/gvisor.md.
describe.skipIf(isGvisor)('what the kernel does for it', () => {
  test.runIf(process.arch === 'x64')('every dropped call is refused, by number', async () => {
    const numbers = Object.fromEntries(
      DROPPED.flatMap(({ names }) => names.map((name) => [name, SYSCALL_NUMBERS.get(name)])),
    );
    const seen = (await sandbox.see(`${SYSCALL}
print(json.dumps({name: call(number, 0, 0, 0, 0, 0, 0) for name, number in json.loads('${JSON.stringify(numbers)}').items()}))`)) as Record<
      string,
      string
    >;
    // An engine whose libseccomp does not know a new call says ENOSYS for it, whichever of the two was asked for.
    for (const [name, answer] of Object.entries(seen)) expect(['EPERM', 'ENOSYS'], name).toContain(answer);
    expect(seen).toMatchObject({ clone3: 'ENOSYS', io_uring_setup: 'ENOSYS', ptrace: 'EPERM', keyctl: 'EPERM' });
  });

  test.runIf(process.arch === 'x64')('32-bit and x32 calls end the process that makes them', async () => {
    const seen = await sandbox.see(`${SYSCALL}${FOREIGN_CALLS}print(json.dumps([fate(compat), fate(x32)]))`);
    expect(seen).toEqual(['SIGSYS', 'SIGSYS']);
  });

  test.runIf(process.arch === 'x64')('clone makes no namespace, with whatever else is in the flags', async () => {
    const seen = await sandbox.see(`${SYSCALL}
flags = [0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000]
print(json.dumps([call(56, base | flag | 17, 0, 0, 0, 0) for flag in flags for base in (0, 1 << 32)]))`);
    expect(seen).toEqual(Array.from({ length: 14 }, () => 'EPERM'));
  });

  test('sockets are UNIX, TCP and UDP; AF_VSOCK, netlink, raw and the rest are refused', async () => {
    const seen = await sandbox.see(`${ATTEMPT}
import socket
families = [f for f in range(47) if f not in (1, 2, 10)]
print(json.dumps([
    sorted({attempt(socket.socket, f, t, 0) for f in families for t in (1, 2, 3, 5)}),
    sorted({attempt(socket.socketpair, f, t, 0) for f in [*families, 2, 10] for t in (1, 2, 5)}),
    sorted({attempt(socket.socket, f, t, p) for f in (2, 10)
        for t, p in ((1, 132), (1, 262), (2, 1), (2, 58), (2, 136), (3, 0), (3, 255), (5, 0), (6, 0))}),
    sorted({attempt(socket.socket, f, t, p) for f in (2, 10) for t, p in ((1, 0), (1, 6), (2, 0), (2, 17))}),
    attempt(socket.socketpair)]))`);
    expect(seen).toEqual([['EPERM'], ['EPERM'], ['EPERM'], ['done'], 'done']);
  });

  test.runIf(process.arch === 'x64')('typing into a terminal is refused, its other controls work', async () => {
    const seen = await sandbox.see(`${SYSCALL}
import pty, fcntl, termios, struct
leader, terminal = pty.openpty()
letter = ctypes.addressof(ctypes.create_string_buffer(b'x'))
fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack('HHHH', 24, 80, 0, 0))
print(json.dumps([[call(16, terminal, high | command, letter) for command in (0x5412, 0x541c, 0x5423)
    for high in (0, 1 << 32)], os.get_terminal_size(terminal), termios.tcgetattr(terminal)[3] > 0]))`);
    expect(seen).toEqual([Array.from({ length: 6 }, () => 'EPERM'), [80, 24], true]);
  });

  test("a program names itself and its children's keeper, but sets no filter of its own", async () => {
    const seen = await sandbox.see(`${SYSCALL}
prctl = lambda *values: 'EPERM' if libc.prctl(*values) and ctypes.get_errno() == 1 else 'done'
print(json.dumps([prctl(4, 0, 0, 0, 0), prctl(4, 1, 0, 0, 0), prctl(36, 1, 0, 0, 0), prctl(15, b'me', 0, 0, 0),
    prctl(1, 9, 0, 0, 0), prctl(22, 1, 0, 0, 0), prctl(67, 1, 0, 0, 0)]))`);
    expect(seen).toEqual(['done', 'done', 'done', 'done', 'done', 'EPERM', 'EPERM']);
  });
});

describe('what it can reach', () => {
  test('no interface but the loopback, and no address at all: connects and look-ups fail at once', async () => {
    const seen = await sandbox.see(`${ATTEMPT}
import socket, time
start = time.monotonic()
reach = [attempt(socket.create_connection, (host, 80), 5) 
    for host in ('1.1.1.1', '169.254.169.254', '172.17.0.1', '2606:4700::1111', 'fd00:ec2::254')]
try: socket.getaddrinfo('example.com', 80); found = True
except socket.gaierror: found = False
gone = ('ENETUNREACH', 'EHOSTUNREACH', 'EADDRNOTAVAIL')
interfaces = os.listdir('/sys/class/net') if os.path.exists('/sys/class/net') else [name for _, name in socket.if_nameindex()]
print(json.dumps([interfaces, [e for e in reach if e not in gone], found, time.monotonic() - start < 1]))`);
    expect(seen).toEqual([['lo'], [], false, true]);
  });

  test('nothing is writable but the workspace, /tmp and /dev/shm', async () => {
    const seen = await sandbox.see(`
import stat
found = []
for folder, folders, _ in os.walk('/'):
    if folder.startswith('/proc/'): folders.clear()
    elif os.access(folder, os.W_OK): found.append(folder)
found += [p for p in ('/etc/resolv.conf', '/etc/hosts', '/etc/hostname', '/etc/passwd')
    if stat.S_ISREG(os.stat(p).st_mode) and os.access(p, os.W_OK)]
print(json.dumps(sorted(found)))`);
    expect(seen).toEqual(['/dev/shm', '/tmp', '/workspace']);
  });

  test("the workspace is closed to every other user, the main process's too", async () => {
    const code = `${ATTEMPT}\nprint(json.dumps([attempt(os.listdir, '/workspace'), attempt(os.listdir, '/tmp')]))`;
    expect(await sandbox.see(code)).toEqual(['done', 'done']);
    expect(await sandbox.see(code, 65_532)).toEqual(['EACCES', 'EACCES']);
    expect(await sandbox.see(code, 9_999)).toEqual(['EACCES', 'EACCES']);
  });

  test('devices are the harmless ones, and none can be made', async () => {
    const seen = await sandbox.see(`${ATTEMPT}
import stat
def is_device(name):
    if name == 'console' or name.startswith('std') or not os.path.exists('/dev/' + name): return False
    found = os.stat('/dev/' + name)
    # A link to /proc/kcore, which /dev/null masks where the kernel has it.
    if name == 'core' and found.st_rdev == os.stat('/dev/null').st_rdev: return False
    return stat.S_ISCHR(found.st_mode)
print(json.dumps([sorted(filter(is_device, os.listdir('/dev'))), attempt(os.mknod, '/workspace/d', 0o600 | stat.S_IFBLK, os.makedev(254, 0)),
    attempt(open, '/workspace/d')]))`);
    const harmless = ['full', 'null', 'ptmx', 'random', 'tty', 'urandom', 'zero'];
    const refused = [harmless, 'EPERM', 'ENOENT'];
    if (!isGvisor) return expect(seen).toEqual(refused);
    // In some releases of gVisor, a device file may be made, and stands for nothing; /dev/fuse is of its own kernel.
    const [devices, ...made] = seen as unknown[];
    expect(devices).toEqual(harmless.toSpliced(1, 0, 'fuse'));
    expect([
      ['EPERM', 'ENOENT'],
      ['done', 'ENXIO'],
    ]).toContainEqual(made);
  });

  test('what /proc and /sys tell of the host is masked, and none of it can be set', async () => {
    const seen = await sandbox.see(`${ATTEMPT}
def size(path):
    try: return len(os.listdir(path)) if os.path.isdir(path) else len(open(path, 'rb').read(64))
    except FileNotFoundError: return 0
masked = ['/proc/kcore', '/proc/keys', '/proc/timer_list', '/proc/interrupts', '/proc/cmdline', '/proc/kallsyms',
    '/sys/firmware', '/sys/kernel', '/sys/module', '/dev/mqueue']
print(json.dumps([[path for path in masked if size(path)], attempt(open, '/proc/sys/kernel/core_pattern', 'w'),
    attempt(open, '/proc/sys/kernel/hostname', 'w'), [name for name in ('docker', 'libpod') if name in open('/proc/self/cgroup').read()]]))`);
    // gVisor has made up a command line of its own, and its switches belong to root.
    expect(seen).toEqual(isGvisor ? [['/proc/cmdline'], 'EACCES', 'EACCES', []] : [[], 'EROFS', 'EROFS', []]);
  });
});
