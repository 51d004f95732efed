import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { DROPPED } from '../../src/engines/hardening/syscalls.ts';
import { SYSCALL_NUMBERS } from '../hardening/syscall-table.ts';
import { ATTEMPT, FOREIGN_CALLS, SYSCALL } from '../support/canary.ts';
import { type PodCanary, startPodCanary } from '../support/pod-canary.ts';

let sandbox: PodCanary;
beforeAll(async () => {
  sandbox = await startPodCanary();
});
afterAll(async () => {
  await sandbox[Symbol.asyncDispose]();
});

describe('who the code is', () => {
  test('its own user, with no capability, no way to gain one, and no variables but those of the image', async () => {
    const { uid } = sandbox;
    const seen = await sandbox.see(`
status = dict(line.split(':\\t', 1) for line in open('/proc/self/status').read().splitlines() if ':\\t' in line)
print(json.dumps([[os.getresuid(), os.getresgid()], os.getgroups(),
    [status[k] for k in ('CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb')], status['NoNewPrivs'], status['Seccomp'],
    sorted(name for name in os.environ if name.startswith(('KUBERNETES', 'HOSTNAME'))), os.environ['HOME'],
    oct(os.umask(0)), os.getppid()]))`);
    const ids = [uid, uid, uid];
    const none = Array.from({ length: 5 }, () => '0'.repeat(16));
    expect(seen).toEqual([[ids, ids], [uid], none, '1', '2', [], '/workspace', '0o22', 0]);
  });

  test('no token, and no account of the cluster', async () => {
    const seen = await sandbox.see(`
found = []
for folder, folders, names in os.walk('/'):
    if folder in ('/proc', '/sys'): folders.clear()
    found += [os.path.join(folder, name) for name in names + folders
        if 'serviceaccount' in name or name in ('token', 'ca.crt', 'kubelet', 'kubeconfig')]
print(json.dumps([found, os.path.exists('/var/run/secrets')]))`);
    expect(seen).toEqual([[], false]);
  });

  test('no file in the image raises its user, and setuid calls are refused', async () => {
    const seen = await sandbox.see(`${ATTEMPT}
import stat
found = []
for folder, folders, names in os.walk('/'):
    if folder.startswith(('/proc', '/sys')): folders.clear()
    for name in names:
        mode = os.lstat(os.path.join(folder, name)).st_mode
        if stat.S_ISREG(mode) and mode & (stat.S_ISUID | stat.S_ISGID): found.append(os.path.join(folder, name))
print(json.dumps([found, attempt(os.setuid, 0), attempt(os.setgid, 0), attempt(os.setgroups, [0])]))`);
    expect(seen).toEqual([[], 'EPERM', 'EPERM', 'EPERM']);
  });
});

describe('what the kernel does for it, by a filter that is on no node', () => {
  test.runIf(process.arch === 'x64')('every dropped call is refused, by number', async () => {
    const numbers = Object.fromEntries(
      DROPPED.flatMap(({ names }) => names.map((name) => [name, SYSCALL_NUMBERS.get(name)])),
    );
    const seen = await sandbox.see(`${SYSCALL}
print(json.dumps({name: call(number, 0, 0, 0, 0, 0, 0) for name, number in json.loads('${JSON.stringify(numbers)}').items()}))`);
    for (const [name, answer] of Object.entries(seen as object)) expect(['EPERM', 'ENOSYS'], name).toContain(answer);
    expect(seen).toMatchObject({ clone3: 'ENOSYS', io_uring_setup: 'ENOSYS', ptrace: 'EPERM', keyctl: 'EPERM' });
  });

  test.runIf(process.arch === 'x64')('32-bit and x32 calls end the process that makes them', async () => {
    const seen = await sandbox.see(`${SYSCALL}${FOREIGN_CALLS}print(json.dumps([fate(compat), fate(x32)]))`);
    expect(seen).toEqual(['SIGSYS', 'SIGSYS']);
  });

  test.runIf(process.arch === 'x64')('a call that is newer than the filter does not exist', async () => {
    expect(await sandbox.see(`${SYSCALL}print(json.dumps([call(number) for number in (600, 4000)]))`)).toEqual([
      'ENOSYS',
      'ENOSYS',
    ]);
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
    sorted({attempt(socket.socket, f, t, p) for f in (2, 10)
        for t, p in ((1, 132), (1, 262), (2, 1), (2, 58), (2, 136), (3, 0), (3, 255), (5, 0), (6, 0))}),
    sorted({attempt(socket.socket, f, t, p) for f in (2, 10) for t, p in ((1, 0), (1, 6), (2, 0), (2, 17))})]))`);
    expect(seen).toEqual([['EPERM'], ['EPERM'], ['done']]);
  });

  test('a program names itself, but sets no filter, and no limit of another process', async () => {
    const seen = await sandbox.see(`${ATTEMPT}${SYSCALL}
import resource
prctl = lambda *values: 'EPERM' if libc.prctl(*values) and ctypes.get_errno() == 1 else 'done'
print(json.dumps([prctl(4, 0, 0, 0, 0), prctl(15, b'me', 0, 0, 0), prctl(22, 1, 0, 0, 0), prctl(67, 1, 0, 0, 0),
    attempt(resource.prlimit, 1, resource.RLIMIT_CPU, (1, 1)), attempt(resource.prlimit, 0, resource.RLIMIT_CORE)]))`);
    expect(seen).toEqual(['done', 'done', 'EPERM', 'EPERM', 'EPERM', 'done']);
  });
});

describe('what it can reach', () => {
  test('nothing is writable but the workspace, /tmp and /dev/shm, through links neither', async () => {
    const seen = await sandbox.see(`${ATTEMPT}
found = []
for folder, folders, names in os.walk('/'):
    if folder.startswith('/proc/'): folders.clear()
    elif os.access(folder, os.W_OK): found.append(folder)
own = ('/etc/resolv.conf', '/etc/hosts', '/etc/hostname', '/etc/passwd', '/opt/glovebox/environment')
found += [path for path in own if os.access(path, os.W_OK)]
os.symlink('/root/none', '/tmp/link')
os.symlink('/etc/hosts', '/workspace/link')
print(json.dumps([sorted(found), attempt(open, '/tmp/link', 'w'), attempt(open, '/workspace/link', 'a'),
    attempt(os.link, '/etc/hosts', '/workspace/hard')]))`);
    expect(seen).toEqual([['/dev/shm', '/tmp', '/workspace'], 'EACCES', 'EACCES', 'EXDEV']);
  });

  test("the termination message, a file on the node's disk, is out of its reach under every name", async () => {
    const seen = await sandbox.see(`${ATTEMPT}
mounts = [line.split() for line in open('/proc/self/mountinfo')]
files = [fields[4] for fields in mounts if 'termination' in fields[3] or '/containers/sandbox/' in fields[3]]
print(json.dumps([files, [attempt(open, path, mode) for path in files for mode in ('a', 'r')],
    attempt(open, '/dev/termination-log', 'a'), attempt(os.listdir, '/root')]))`);
    expect(seen).toEqual([['/root/none'], ['EACCES', 'EACCES'], 'EACCES', 'EACCES']);
  });

  test('devices are the harmless ones, and none can be made', async () => {
    const seen = await sandbox.see(`${ATTEMPT}
import stat
devices = [name for name in os.listdir('/dev') if not name.startswith('std') and os.path.exists('/dev/' + name)
    and name != 'core' and stat.S_ISCHR(os.stat('/dev/' + name).st_mode)]
print(json.dumps([sorted(devices), attempt(os.mknod, '/workspace/d', 0o600 | stat.S_IFBLK, os.makedev(254, 0))]))`);
    expect(seen).toEqual([['full', 'null', 'ptmx', 'random', 'tty', 'urandom', 'zero'], 'EPERM']);
  });

  test('what /proc and /sys tell of the node is hidden, and none of it can be set', async () => {
    const seen = await sandbox.see(`${ATTEMPT}
def size(path):
    try: return len(os.listdir(path)) if os.path.isdir(path) else len(open(path, 'rb').read(64))
    except OSError: return 0
hidden = ['/proc/kcore', '/proc/keys', '/proc/timer_list', '/proc/interrupts', '/sys/firmware', '/sys/kernel', '/sys/module',
    '/dev/mqueue']
print(json.dumps([[path for path in hidden if size(path)], attempt(open, '/proc/sys/kernel/core_pattern', 'w'),
    attempt(open, '/proc/sys/kernel/hostname', 'w'), attempt(open, '/dev/mqueue/q', 'w')]))`);
    expect(seen).toEqual([[], 'EROFS', 'EROFS', 'EROFS']);
  });
});
