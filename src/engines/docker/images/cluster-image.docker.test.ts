import { homedir } from 'node:os';
import { buffer } from 'node:stream/consumers';
import type Dockerode from 'dockerode';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { loadConfig } from '../../../config/load.ts';
import { COUNT_COMMAND, END_COMMAND } from '../../kubernetes/pod-spec.ts';
import { connectEngine } from '../connect/connect.ts';
import { ExecStream } from '../demux.ts';
import { ensureClusterImage } from './cluster-image.ts';

// The time of the first build, which installs a compiler.
const BUILD_MS = 300_000;
const HOLD = '/opt/glovebox/hold';
const UID = 12_345;
const PIDS = 64;
const LIMITS = ['--limit', 'nofile=512', '--limit', 'core=0', '--limit', 'nproc=48', '--filter', 'host'];

let docker: Dockerode;
let image: string;
/** A container with `hold` as process 1, as a pod has it: of the user of the code. */
let held: Dockerode.Container;

beforeAll(async () => {
  ({ docker } = await connectEngine(loadConfig({ HOME: homedir(), DOCKER_HOST: process.env['DOCKER_HOST'] })));
  image = await ensureClusterImage(docker, { ...loadConfig({ HOME: homedir() }), image: 'slim' }, () => {});
  held = await start([HOLD, 'hold', ...LIMITS]);
}, BUILD_MS);
afterAll(async () => await held.remove({ force: true }));

async function start(command: readonly string[], env: readonly string[] = []): Promise<Dockerode.Container> {
  const container = await docker.createContainer({
    Image: image,
    Entrypoint: [...command],
    Cmd: [],
    Env: [...env],
    User: `${UID}:${UID}`,
    HostConfig: {
      ...{ ReadonlyRootfs: true, NetworkMode: 'none', CapDrop: ['ALL'], PidsLimit: PIDS, IpcMode: 'private' },
      ...{ SecurityOpt: ['no-new-privileges'], Tmpfs: { '/tmp': `mode=0700,uid=${UID},gid=${UID}` } },
    },
  });
  await container.start();
  return container;
}

/** A container of one test. */
async function startOwn(command: readonly string[], env: readonly string[] = []): Promise<Dockerode.Container> {
  const container = await start(command, env);
  onTestFinished(async () => await container.remove({ force: true }));
  return container;
}

/** What a program prints in a container, and its exit code. */
async function exec(container: Dockerode.Container, command: readonly string[]) {
  const made = await container.exec({ Cmd: [...command], AttachStdout: true, AttachStderr: true });
  const errors: Buffer[] = [];
  const stream = new ExecStream(await made.start({ hijack: true, stdin: false }), (piece) => errors.push(piece));
  const out = (await buffer(stream)).toString();
  return { out, errors: Buffer.concat(errors).toString(), code: (await made.inspect()).ExitCode };
}

/** Runs Python as the runner is run, and returns what it prints as JSON. */
async function see(code: string, container = held): Promise<unknown> {
  const command = [HOLD, 'run', '--env', 'HOME=/workspace', '--', 'python3', '-I', '-c', `${PRELUDE}${code}`];
  const { out, errors } = await exec(container, command);
  expect(errors).toBe('');
  return JSON.parse(out);
}

const PRELUDE = `
import ctypes, errno, json, os, resource, signal, subprocess, sys, threading, time
def attempt(f, *arguments):
    try:
        f(*arguments)
        return 'done'
    except OSError as error:
        return errno.errorcode[error.errno]
libc = ctypes.CDLL(None, use_errno=True)
def call(*arguments):
    return 'done' if libc.syscall(*map(ctypes.c_long, arguments)) >= 0 else errno.errorcode[ctypes.get_errno()]
`;

const left = async (command: readonly string[], container = held) => JSON.parse((await exec(container, command)).out);

describe('process 1, of the same user as the code', () => {
  test('is ended by none of the signals that code can send, also not by one that claims to come from outside', async () => {
    const sent = await see(`
SIGINFO = ctypes.create_string_buffer(128)
def forged(number, code):
    ctypes.memmove(SIGINFO, (ctypes.c_int * 6)(number, 0, code, 0, 0, 0), 24)
    return SIGINFO
fd = os.pidfd_open(1)
answers = {'kill': sorted({attempt(os.kill, 1, number) for number in range(1, 65) if number not in (32, 33)})}
answers['pidfd'] = attempt(signal.pidfd_send_signal, fd, signal.SIGTERM)
def sigqueue(code):
    return libc.rt_sigqueueinfo(1, signal.SIGTERM, forged(signal.SIGTERM, code)) if hasattr(libc, 'rt_sigqueueinfo') \\
        else libc.syscall(ctypes.c_long(129 if os.uname().machine == 'x86_64' else 138), ctypes.c_long(1),
            ctypes.c_long(signal.SIGTERM), forged(signal.SIGTERM, code))
answers['queued'] = [sigqueue(0) == 0, sigqueue(-1) == 0]
os.kill(1, signal.SIGKILL)
os.kill(1, signal.SIGSTOP)
print(json.dumps(answers))`);
    expect(sent).toEqual({ kill: ['done'], pidfd: 'done', queued: [false, true] });
    expect((await held.inspect()).State).toMatchObject({ Running: true, Paused: false });
    expect(await see(`print(json.dumps(open('/proc/1/stat').read().split()[2]))`)).toBe('S');
  });

  test('is not read, traced or changed', async () => {
    const seen = await see(`
files = ('environ', 'mem', 'maps', 'auxv', 'syscall', 'stack', 'io', 'wchan')
print(json.dumps({
    'files': {name: attempt(lambda: open('/proc/1/' + name, 'rb').read(1)) for name in files},
    'folders': [attempt(os.listdir, '/proc/1/' + name) for name in ('fd', 'fdinfo', 'map_files', 'ns')],
    'links': [attempt(os.readlink, '/proc/1/' + name) for name in ('exe', 'cwd', 'root', 'fd/1', 'ns/net')],
    'output': [attempt(open, '/proc/1/fd/%d' % n, 'w') for n in range(3)],
    'writes': [attempt(open, '/proc/1/' + name, 'w') for name in ('oom_score_adj', 'mem', 'clear_refs')],
    'program': attempt(open, '/opt/glovebox/hold'),
    'limits': attempt(resource.prlimit, 1, resource.RLIMIT_CPU, (1, 1)),
    'pidfd_getfd': call(438, os.pidfd_open(1), 1, 0),
    'ptrace': call(101 if os.uname().machine == 'x86_64' else 117, 16, 1, 0, 0),
    'process_vm_readv': call(310 if os.uname().machine == 'x86_64' else 270, 1, 0, 0, 0, 0, 0),
}))`);
    const denied = (length: number) => Array.from({ length }, () => 'EACCES');
    expect(seen).toMatchObject({
      ...{ folders: denied(4), links: denied(5), output: denied(3), program: 'EACCES' },
      ...{ limits: 'EPERM', ptrace: 'EPERM', process_vm_readv: 'EPERM', pidfd_getfd: 'EPERM' },
      writes: denied(3),
    });
    const { wchan: _harmless, ...files } = (seen as { files: Record<string, string> }).files;
    for (const [name, answer] of Object.entries(files)) expect(['EACCES', 'EPERM'], name).toContain(answer);
  });

  test('reaps what its code leaves behind, and writes nothing', async () => {
    const zombies = await see(`
for _ in range(30):
    if os.fork() == 0:
        if os.fork() == 0: os._exit(0)
        os._exit(0)
    os.wait()
def states():
    for name in filter(str.isdigit, os.listdir('/proc')):
        try: yield open('/proc/%s/stat' % name).read().rsplit(')', 1)[1].split()[0]
        except FileNotFoundError: pass
while 'Z' in list(states()): pass
print(json.dumps(list(states()).count('Z')))`);
    expect(zombies).toBe(0);
    const log = await held.logs({ stdout: true, stderr: true });
    expect(log.toString()).toBe('');
  });

  test('ends at once when the container runtime asks it to', async () => {
    const container = await startOwn([HOLD, 'hold', ...LIMITS]);
    expect(await left(COUNT_COMMAND, container)).toEqual({ left: 0 });
    const ended = container.wait();
    await container.stop({ t: 50 });
    expect(await ended).toMatchObject({ StatusCode: 0 });
  });

  test('is nothing but process 1', async () => {
    expect(await exec(held, [HOLD, 'hold'])).toMatchObject({ out: '', code: 125 });
    expect(await exec(held, [HOLD])).toMatchObject({ out: '', code: 125 });
  });
});

describe('what it starts', () => {
  test('has the limits and the filter that process 1 was given, and nothing of the container', async () => {
    const container = await startOwn(
      [HOLD, 'hold', ...LIMITS],
      ['KUBERNETES_SERVICE_HOST=10.96.0.1', 'INJECTED=1', 'LANG=C'],
    );
    const seen = await see(
      `
status = dict(line.split(':\\t', 1) for line in open('/proc/self/status').read().splitlines() if ':\\t' in line)
print(json.dumps([{name: resource.getrlimit(getattr(resource, 'RLIMIT_' + name)) for name in ('NOFILE', 'CORE', 'NPROC')},
    dict(os.environ), os.getcwd(), oct(os.umask(0)), os.getppid(), status['Seccomp'], status['Seccomp_filters']]))`,
      container,
    );
    const environment = { HOME: '/workspace', LANG: 'C.UTF-8', TZ: 'UTC', PATH: expect.any(String) };
    expect(seen).toMatchObject([
      { NOFILE: [512, 512], CORE: [0, 0], NPROC: [48, 48] },
      environment,
      ...['/', '0o22', 0, '2', '2'],
    ]);
    const [, variables] = seen as [unknown, Record<string, string>];
    expect(Object.keys(variables)).not.toContain('INJECTED');
    expect(Object.keys(variables).filter((name) => name.startsWith('KUBERNETES'))).toEqual([]);
  });

  test('is refused without what process 1 says, or with a word that it does not know', async () => {
    const without = await startOwn(['/bin/sleep', '600']);
    const command = [HOLD, 'run', '--', 'echo', 'ran'];
    expect(await exec(without, command)).toMatchObject({ out: '', code: 125, errors: /no limits/ });
    for (const wrong of [
      ['--limit', 'nofiles=1'],
      ['--limit', 'nofile'],
    ]) {
      const container = await startOwn([HOLD, 'hold', ...wrong, ...LIMITS]);
      expect(await exec(container, command)).toMatchObject({ out: '', code: 125 });
    }
    const container = await startOwn([HOLD, 'hold', '--filter', 'some']);
    expect(await exec(container, command)).toMatchObject({ out: '', code: 125 });
    expect(await exec(held, [HOLD, 'run', 'echo', 'ran'])).toMatchObject({ out: '', code: 125 });
  });

  test('makes as many processes as process 1 was told, though the engine would let it make more', async () => {
    const made = await see(`
children = []
try:
    while len(children) < 200:
        child = os.fork()
        if child == 0: signal.pause()
        children.append(child)
except OSError as error: answer = errno.errorcode[error.errno]
for child in children: os.kill(child, 9)
for child in children: os.wait()
print(json.dumps([len(children), answer]))`);
    // Process 1 and the program itself count.
    expect(made).toEqual([46, 'EAGAIN']);
  });
});

describe('the end of all that code has started', () => {
  const begin = async (code: string, container = held) => {
    const command = [HOLD, 'run', '--', 'python3', '-I', '-c', `${PRELUDE}${code}`];
    return (
      await exec(container, [
        '/bin/sh',
        '-c',
        `"$@" > /tmp/said 2>&1 & until grep -q begun /tmp/said; do :; done`,
        'sh',
        ...command,
      ])
    ).code;
  };

  test('leaves nothing of a fork bomb', async () => {
    await begin(`
print('begun', flush=True)
while True:
    try: os.fork()
    except OSError: pass`);
    expect(await left(END_COMMAND)).toEqual({ left: 0 });
    expect(await left(COUNT_COMMAND)).toEqual({ left: 0 });
  });

  test('counts a process whose first thread has ended, though it looks dead', async () => {
    await begin(`
def live():
    while open('/proc/self/stat').read().rsplit(')', 1)[1].split()[0] != 'Z': pass
    print('begun', flush=True)
    threading.Event().wait()
threading.Thread(target=live).start()
libc.pthread_exit(None)`);
    expect(await left(COUNT_COMMAND)).toEqual({ left: 1 });
    expect(await left(END_COMMAND)).toEqual({ left: 0 });
  });

  test('counts what is stopped, and what forks away from its parent', async () => {
    await begin(`
if os.fork() == 0:
    os.setsid()
    signal.pause()
print('begun', flush=True)
os.kill(os.getpid(), signal.SIGSTOP)`);
    expect(await left(COUNT_COMMAND)).toEqual({ left: 2 });
    expect(await left(END_COMMAND)).toEqual({ left: 0 });
  });
});

test('the image has a folder for the termination message that is closed to its user', async () => {
  expect((await exec(held, ['/bin/sh', '-c', 'echo > /root/none; ls /root'])).code).not.toBe(0);
  expect((await exec(held, ['/bin/sh', '-c', 'stat -c "%U %a" /root /opt/glovebox/hold'])).out).toBe(
    'root 700\nroot 711\n',
  );
});

test('the image can be named for a registry', async () => {
  const tag = `localhost:5000/glovebox-test-${process.pid}:1`;
  const options = { ...loadConfig({ HOME: homedir() }), image: 'slim', tag };
  expect(await ensureClusterImage(docker, options, () => {})).toBe(tag);
  onTestFinished(async () => await docker.getImage(tag).remove());
  expect((await docker.getImage(tag).inspect()).Id).toBe((await docker.getImage(image).inspect()).Id);
});
