import { describe, expect, test } from 'vitest';
import type { SandboxSpec } from '../../src/sandbox/engine.ts';
import { type PodCanary, startPodCanary } from '../support/pod-canary.ts';

/** What `code` prints as JSON, in a sandbox of its own that must live on. */
async function see(code: string, change: Partial<SandboxSpec> = {}): Promise<unknown> {
  await using sandbox = await startPodCanary(change);
  const seen = await sandbox.see(code);
  await expectAlive(sandbox);
  return seen;
}

async function expectAlive(sandbox: PodCanary): Promise<void> {
  expect(await sandbox.see('print(json.dumps(40 + 2))')).toBe(42);
  const { status } = await sandbox.pod();
  expect(status.phase).toBe('Running');
}

const FILL = `
def fill(path):
    block, written = bytes(1 << 20), 0
    try:
        with open(path, 'wb', buffering=0) as file:
            while True: written += file.write(block)
    except OSError as error:
        return written >> 20, errno.errorcode[error.errno]
`;

describe.concurrent('limits hold', () => {
  test('a fork bomb stops at the limit of processes, which no kubelet has to have', async () => {
    const seen = await see(
      `
import signal
children = []
try:
    while len(children) < 500:
        child = os.fork()
        if child == 0: signal.pause()
        children.append(child)
    reason = None
except OSError as error: reason = errno.errorcode[error.errno]
for child in children: os.kill(child, signal.SIGKILL)
for child in children: os.wait()
print(json.dumps([reason, len(children)]))`,
      { pids: 40 },
    );
    // Process 1 and the program itself count, and what holds the namespaces of the pod, where a runtime has that.
    expect([37, 38].map((children) => ['EAGAIN', children])).toContainEqual(seen);
  });

  test('all disks filled to the brim leave Python able to run, and nothing is evicted', async () => {
    const seen = await see(
      `${FILL}
import subprocess
sizes = [fill(path) for path in ('/workspace/f', '/tmp/f', '/dev/shm/f')]
print(json.dumps([sizes, subprocess.run([sys.executable, '-c', 'print(40 + 2)'], capture_output=True).stdout.decode()]))`,
      { memoryMb: 256, diskMb: 192 },
    );
    expect(seen).toEqual([
      [
        [192, 'ENOSPC'],
        [16, 'ENOSPC'],
        [16, 'ENOSPC'],
      ],
      '42\n',
    ]);
  });

  test('a process that takes more memory than there is ends, and the sandbox lives on', async () => {
    const seen = await see(
      `
child = os.fork()
if child == 0:
    hoard = []
    while True: hoard.append(b'x' * (8 << 20))
print(json.dumps(os.WTERMSIG(os.waitpid(child, 0)[1])))`,
      { memoryMb: 128, diskMb: 16 },
    );
    expect(seen).toBe(9);
  });

  test('memory beyond what a sandbox could ever use is refused; reserved addresses are not', async () => {
    const seen = await see(`
import mmap
PRIVATE = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
def take(gib, prot=mmap.PROT_READ | mmap.PROT_WRITE):
    try: mmap.mmap(-1, gib << 30, flags=PRIVATE, prot=prot).close(); return 'done'
    except OSError as error: return errno.errorcode[error.errno]
print(json.dumps([take(3), take(5), take(64, 0)]))`);
    expect(seen).toEqual(['done', 'ENOMEM', 'done']);
  });

  test('descriptors, core dumps and sparse files end at their limits', async () => {
    const seen = await see(`
import resource
files = []
try:
    while True: files.append(os.dup(1))
except OSError as error: reason = errno.errorcode[error.errno]
for file in files: os.close(file)
def stretch(path):
    with open(path, 'wb') as file:
        try: file.truncate(1 << 40)
        except OSError as error: return errno.errorcode[error.errno]
def raised(name):
    try: resource.setrlimit(name, (1 << 20, 1 << 20)); return 'done'
    except ValueError: return 'refused'
print(json.dumps([reason, 1000 < len(files) < 1024, resource.getrlimit(resource.RLIMIT_CORE), stretch('/workspace/s'),
    stretch('/dev/shm/s'), [raised(getattr(resource, name)) for name in ('RLIMIT_NPROC', 'RLIMIT_NOFILE', 'RLIMIT_CORE')]]))`);
    expect(seen).toEqual(['EMFILE', true, [0, 0], 'EFBIG', 'EFBIG', ['refused', 'refused', 'refused']]);
  });

  test('its node ends it at the end of its lifetime, without any control plane', async ({ expect: own }) => {
    await using sandbox = await startPodCanary({ maxLifetimeS: 5 });
    await own
      .poll(async () => (await sandbox.pod()).status, { timeout: 60_000 })
      .toMatchObject({
        phase: 'Failed',
        reason: 'DeadlineExceeded',
      });
  });
});

test('two sandboxes see nothing of each other', async () => {
  await using one = await startPodCanary();
  await using other = await startPodCanary();
  const plant = await one.python(`
import os, signal, socket
for folder in ('/workspace', '/tmp', '/dev/shm'): open(folder + '/secret', 'w').write('x')
if os.fork() == 0:
    os.setsid()
    abstract = socket.socket(socket.AF_UNIX); abstract.bind('\\0glovebox-canary'); abstract.listen()
    tcp = socket.create_server(('127.0.0.1', 4242))
    for descriptor in range(3): os.dup2(os.open('/dev/null', os.O_RDWR), descriptor)
    signal.pause()
def is_open():
    try: socket.socket(socket.AF_INET).connect(('127.0.0.1', 4242)); return True
    except OSError: return False
while not is_open(): pass`);
  expect(plant.end, plant.stderr).toEqual({ kind: 'exit', code: 0 });
  const look = `
import socket
def reach(family, address):
    try: socket.socket(family).connect(address); return True
    except OSError: return False
print(json.dumps([[p for p in ('/workspace/secret', '/tmp/secret', '/dev/shm/secret') if os.path.exists(p)],
    reach(socket.AF_UNIX, '\\0glovebox-canary'), reach(socket.AF_INET, ('127.0.0.1', 4242)),
    len([p for p in os.listdir('/proc') if p.isdigit() and os.stat('/proc/' + p).st_uid == ${one.uid}]) > 0]))`;
  const files = ['/workspace/secret', '/tmp/secret', '/dev/shm/secret'];
  expect(await one.see(look)).toEqual([files, true, true, true]);
  expect(await other.see(look)).toEqual([[], false, false, false]);
});
