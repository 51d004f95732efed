import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { COUNT_COMMAND, END_COMMAND } from '../../src/engines/kubernetes/pod-spec.ts';
import { ATTEMPT } from '../support/canary.ts';
import { type PodCanary, startPodCanary } from '../support/pod-canary.ts';

let sandbox: PodCanary;
beforeAll(async () => {
  sandbox = await startPodCanary();
});
afterAll(async () => {
  await sandbox[Symbol.asyncDispose]();
});

/** Starts code that stays behind. Returns once it has said that it has begun. */
async function leave(code: string): Promise<void> {
  const { end, stderr } = await sandbox.python(`
import ctypes, os, signal, sys, threading
heard, tell = os.pipe()
if os.fork() == 0:
    os.setsid()
    for descriptor in range(3): os.dup2(os.open('/dev/null', os.O_RDWR), descriptor)
    def begun(): os.write(tell, b'x')
${code.replaceAll(/^/gm, '    ')}
    os._exit(0)
os.close(tell)
if os.read(heard, 1) != b'x': sys.exit('it did not begin')`);
  expect(end, stderr).toEqual({ kind: 'exit', code: 0 });
}

const count = async () => JSON.parse((await sandbox.exec(COUNT_COMMAND)).stdout);

describe('process 1, of the same user as the code', () => {
  test('is ended or stopped by no signal of the code, and by nothing else that it tries', async () => {
    const seen = await sandbox.see(`${ATTEMPT}
import signal
numbers = [number for number in range(1, 65) if number not in (32, 33)]
print(json.dumps([sorted({attempt(os.kill, 1, number) for number in numbers}), attempt(os.kill, -1, 0),
    attempt(signal.pidfd_send_signal, os.pidfd_open(1), signal.SIGKILL)]))`);
    expect(seen).toEqual([['done'], 'ESRCH', 'done']);
    expect(await sandbox.see(`print(json.dumps(open('/proc/1/stat').read().split()[2]))`)).toBe('S');
    expect((await sandbox.pod()).status).toMatchObject({ phase: 'Running' });
  });

  test('is not read, traced or changed, and its output, the log on the node, is out of reach', async () => {
    const seen = await sandbox.see(`${ATTEMPT}
print(json.dumps([[attempt(open, '/proc/1/' + name) for name in ('environ', 'mem', 'maps', 'stack')],
    [attempt(open, '/proc/1/fd/%d' % number, 'w') for number in range(4)],
    [attempt(os.readlink, '/proc/1/' + name) for name in ('exe', 'root', 'cwd', 'ns/pid')],
    [attempt(open, '/proc/1/' + name, 'w') for name in ('oom_score_adj', 'clear_refs')], attempt(open, '/dev/console', 'w')]))`);
    const denied = (length: number) => Array.from({ length }, () => 'EACCES');
    expect(seen).toEqual([denied(4), denied(4), denied(4), denied(2), expect.stringMatching(/^E(ACCES|NOENT)$/)]);
    expect(await sandbox.log()).toBe('');
  });
});

describe('the end of all that code has started', () => {
  test('leaves nothing of processes that hide, stop or ignore signals', async () => {
    await leave(`
for number in range(1, 32):
    if number not in (9, 19): signal.signal(number, signal.SIG_IGN)
for _ in range(10):
    if os.fork() == 0:
        os.setsid()
        threading.Event().wait()
begun()
os.kill(os.getpid(), signal.SIGSTOP)`);
    expect(await count()).toEqual({ left: 11 });
    expect(await sandbox.engine.endProcesses(sandbox.ref)).toBe(true);
    expect(await count()).toEqual({ left: 0 });
  });

  test('finds a process whose first thread has ended, though it looks dead', async () => {
    await leave(`
def live():
    while open('/proc/self/stat').read().rsplit(')', 1)[1].split()[0] != 'Z': pass
    begun()
    threading.Event().wait()
threading.Thread(target=live).start()
ctypes.CDLL(None).pthread_exit(None)`);
    expect(await count()).toEqual({ left: 1 });
    expect(await sandbox.engine.endProcesses(sandbox.ref)).toBe(true);
  });

  test('comes to a fork bomb at the limit of processes, too', async () => {
    await leave(`
begun()
while True:
    try: os.fork()
    except OSError: pass`);
    expect(JSON.parse((await sandbox.exec(END_COMMAND)).stdout)).toEqual({ left: 0 });
    expect(await count()).toEqual({ left: 0 });
  });

  test('does not tell of an end where code kills whatever looks for it', async () => {
    await leave(`
for _ in range(3): os.fork()
begun()
while True:
    for name in os.listdir('/proc'):
        try:
            if name.isdigit() and name != '1' and open('/proc/' + name + '/comm').read() == 'hold\\n': os.kill(int(name), 9)
        except OSError: pass`);
    const looks = await Promise.all(Array.from({ length: 4 }, () => sandbox.exec(COUNT_COMMAND)));
    for (const { stdout } of looks) expect(stdout).not.toContain('{"left":0}');
    // Either they are all gone, or the caller hears that they are not, and replaces the sandbox.
    const isEmpty = await sandbox.engine.endProcesses(sandbox.ref);
    if (isEmpty) expect(await count()).toEqual({ left: 0 });
  });
});

test('a pod ends within its grace, whatever its processes do, and its processes with it', async () => {
  const own = await startPodCanary();
  await own.python(`
import os, signal
for number in (1, 2, 15): signal.signal(number, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    # Open output would keep the exec waiting.
    os.closerange(0, 3)
    signal.pause()`);
  await own.engine.remove(own.ref);
  await expect(own.pod()).rejects.toMatchObject({ code: 'sandbox_lost' });
  await own[Symbol.asyncDispose]();
});
