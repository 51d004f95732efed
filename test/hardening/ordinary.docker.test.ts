import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { type Canary, startCanary } from '../support/canary.ts';

let sandbox: Canary;
beforeAll(async () => {
  sandbox = await startCanary({ memoryMb: 1024, diskMb: 256, pids: 128 });
});
afterAll(async () => {
  await sandbox[Symbol.asyncDispose]();
});

/** Every one ends with an assertion of its own; a sandbox that is too tight makes it fail or hang. */
const ORDINARY = {
  threads: `
import threading
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(8) as pool: assert sum(pool.map(lambda n: n * n, range(100))) == 328350
`,
  asyncio: `
import asyncio
async def serve(reader, writer):
    writer.write(await reader.readline()); await writer.drain(); writer.close()
async def main():
    server = await asyncio.start_server(serve, '127.0.0.1', 0)
    reader, writer = await asyncio.open_connection('localhost', server.sockets[0].getsockname()[1])
    writer.write(b'hello\\n')
    assert await reader.readline() == b'hello\\n'
    child = await asyncio.create_subprocess_exec('echo', 'hi', stdout=asyncio.subprocess.PIPE)
    assert (await child.communicate())[0] == b'hi\\n'
    assert await asyncio.to_thread(lambda: 7) == 7
asyncio.run(main())
`,
  subprocess: `
import subprocess, sys
assert subprocess.run('echo $((6*7)) | cat', shell=True, capture_output=True).stdout == b'42\\n'
assert subprocess.run([sys.executable, '-c', 'import sys; sys.exit(3)'], start_new_session=True).returncode == 3
`,
  'temporary files, links, locks and times': `
import fcntl, os, shutil, tempfile, time
with tempfile.TemporaryDirectory() as folder, tempfile.NamedTemporaryFile(dir='/workspace') as file:
    file.write(b'x' * 100_000); file.flush(); fcntl.flock(file, fcntl.LOCK_EX); os.fsync(file.fileno())
    copy = shutil.copy2(file.name, folder + '/copy'); os.symlink(copy, folder + '/link'); os.link(copy, folder + '/hard')
    os.chmod(copy, 0o600); os.utime(copy, (1, 2)); os.setxattr(copy, 'user.note', b'y')
    os.chmod(folder + '/link', 0o644, follow_symlinks=True)
    assert os.stat(folder + '/link').st_mtime == 2 and os.path.getsize(folder + '/hard') == 100_000
assert os.getrandom(16) != os.urandom(16) and time.monotonic() < time.monotonic() + time.process_time()
`,
  'sockets, names and interfaces': `
import os, socket, select, getpass, platform
with socket.create_server(('127.0.0.1', 0)) as server:
    with socket.create_connection(server.getsockname()) as client:
        peer, _ = server.accept()
        client.sendall(b'x' * 10); assert peer.recv(10) == b'x' * 10
        poll = select.epoll(); poll.register(peer, select.EPOLLIN); assert poll.poll(0) == []
datagram = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); datagram.bind(('127.0.0.1', 0))
datagram.sendto(b'y', datagram.getsockname()); assert datagram.recv(1) == b'y'
a, b = socket.socketpair(); socket.send_fds(a, [b'z'], [0]); assert socket.recv_fds(b, 1, 1)[0] == b'z'
assert any(entry[4][0] == '127.0.0.1' for entry in socket.getaddrinfo('localhost', 80))
assert socket.gethostname() == 'sandbox' == platform.node() and os.getloadavg() and os.sched_getaffinity(0)
`,
  'signals and timers': `
import signal, time, os
hits = []
signal.signal(signal.SIGALRM, lambda *_: hits.append(1)); signal.setitimer(signal.ITIMER_REAL, 0.02)
time.sleep(0.1); assert hits == [1]
assert os.eventfd(0) >= 0 and os.memfd_create('m') >= 0
`,
  'sqlite, ssl, hashes and compression': `
import hashlib, lzma, sqlite3, ssl, zlib
with sqlite3.connect('/workspace/data.db') as base:
    base.execute('pragma journal_mode=wal'); base.execute('create table t(x)')
    base.executemany('insert into t values (?)', [(n,) for n in range(1000)])
    assert base.execute('select sum(x) from t').fetchone() == (499500,)
assert ssl.create_default_context().verify_mode == ssl.CERT_REQUIRED
assert lzma.decompress(lzma.compress(b'x')) == zlib.decompress(zlib.compress(b'x')) and hashlib.sha256(b'').hexdigest()
`,
  'compiled modules in the workspace': `
import glob, importlib.machinery, importlib.util, shutil, sys, sysconfig
library = [*glob.glob(sysconfig.get_path('stdlib') + '/lib-dynload/_ctypes.*.so')][0]
for folder in ('/workspace', '/tmp'):
    place = shutil.copy(library, folder + '/_ctypes.so')
    loader = importlib.machinery.ExtensionFileLoader('_ctypes', place)
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader('_ctypes', loader))
    assert module.__file__ == place
`,
  'terminals of its own': `
import os, pty
child, leader = pty.fork()
if child == 0: os.execvp('tty', ['tty'])
assert os.read(leader, 100).startswith(b'/dev/pts/')
`,
  'numpy and pandas, where there are any': `
import importlib.util
if importlib.util.find_spec('pandas'):
    import numpy, pandas
    assert numpy.linalg.inv(numpy.eye(300)).trace() == 300
    pandas.DataFrame({'a': range(10), 'b': list('xy') * 5}).groupby('b').sum().to_csv('/workspace/t.csv')
    mapped = numpy.memmap('/workspace/m', dtype='u1', mode='w+', shape=(1 << 20,)); mapped[:] = 1; mapped.flush()
`,
};

const WATCHING = `
import ctypes, os
libc = ctypes.CDLL(None)
watch = libc.inotify_init1(0)
assert watch >= 0 and libc.inotify_add_watch(watch, b'/workspace', 0x100) >= 0
open('/workspace/new', 'w').close()
assert b'new' in os.read(watch, 4096)
`;

// In a user namespace, a sandbox could use up what the host has of it.
test.skipIf(inject('isRemapped'))('watching files', async () => {
  expect(await sandbox.python(WATCHING)).toEqual({ exitCode: 0, stdout: '', stderr: '' });
});

// The release of gVisor that Debian has knows none.
test.skipIf(inject('isGvisor'))('descriptors of processes', async () => {
  const code = 'import os; assert os.pidfd_open(os.getpid()) >= 0';
  expect(await sandbox.python(code)).toEqual({ exitCode: 0, stdout: '', stderr: '' });
});

test.each(Object.entries(ORDINARY))('%s', async (_, code) => {
  const { exitCode, stderr } = await sandbox.python(code);
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
});

test.each(['fork', 'spawn', 'forkserver'])(
  'multiprocessing by %s: pools, queues, locks, shared memory',
  async (method) => {
    const { exitCode, stderr } = await sandbox.python(`
import multiprocessing as mp
from multiprocessing import shared_memory
def square(n): return n * n
def work(queue, lock, value, name):
    block = shared_memory.SharedMemory(name); block.buf[0] = 9; block.close()
    with lock: value.value += 1
    queue.put('done')
if __name__ == '__main__':
    mp.set_start_method('${method}')
    with mp.Pool(3) as pool: assert pool.map(square, range(50)) == [n * n for n in range(50)]
    queue, lock, value = mp.Queue(), mp.Lock(), mp.Value('i', 0)
    block = shared_memory.SharedMemory(create=True, size=1 << 20)
    children = [mp.Process(target=work, args=(queue, lock, value, block.name)) for _ in range(3)]
    for child in children: child.start()
    assert [queue.get(timeout=20) for _ in children] == ['done'] * 3
    for child in children: child.join()
    assert value.value == 3 and block.buf[0] == 9
    block.close(); block.unlink()
    with mp.Manager() as manager:
        shared = manager.list(); shared.append(1); assert list(shared) == [1]
`);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
  },
);
