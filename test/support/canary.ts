import { PassThrough } from 'node:stream';
import { finished } from 'node:stream/promises';
import type Docker from 'dockerode';
import { type ContainerSpec, runnerExecOptions } from '../../src/engines/docker/hardening/spec.ts';
import { engine } from './engine-access.ts';

interface CanaryResult {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A container made from the product's own options, in which Python code sees for itself what holds. */
export interface Canary extends AsyncDisposable {
  readonly spec: ContainerSpec;
  readonly container: Docker.Container;
  /** Runs `code` from a file, as `python3 file.py` does; the sandbox's user unless told. */
  python(code: string, uid?: number): Promise<CanaryResult>;
  /** What `code` prints as JSON; the usual modules are imported already. */
  see(code: string, uid?: number): Promise<unknown>;
}

/** Python: `call(number, ...)` makes a system call past libc and says how it ended. */
export const SYSCALL = `
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
def call(number, *values):
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *(ctypes.c_long(value) for value in values))
    return 'returned %d' % result if result >= 0 else errno.errorcode[ctypes.get_errno()]
`;

/** Python, after `SYSCALL`: `fate(action)` of a process that makes calls of other processors, `compat` (32-bit) or `x32`. */
export const FOREIGN_CALLS = `
import mmap, signal
def fate(action):
    child = os.fork()
    if child == 0:
        action()
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    return signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else 'survived'
code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
code.write(bytes.fromhex('b814000000' 'cd80' 'c3'))  # mov eax, 20 (getpid); int 0x80; ret
compat = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))
x32 = lambda: call(0x40000000 + 39)
`;

/** Python: `attempt(action, ...)` says `done`, or the name of the error. */
export const ATTEMPT = `
def attempt(action, *arguments):
    try:
        action(*arguments)
        return 'done'
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))
`;

let made = 0;

export async function startCanary(change: Partial<ContainerSpec> = {}): Promise<Canary> {
  const { driver, image, runtime } = await engine();
  made += 1;
  const spec: ContainerSpec = {
    key: `canary-${process.pid}-${made}`,
    instance: `canary-${process.pid}`,
    uid: 30_000 + ((process.pid * 7 + made) % 20_000),
    image,
    memoryMb: 512,
    cpus: 2,
    pids: 64,
    diskMb: 64,
    maxLifetimeS: 600,
    ...runtime,
    ...change,
  };
  const container = await driver.create(spec);
  const dispose = async () => {
    await container.remove({ force: true });
    await driver.discard(spec.key);
  };
  try {
    await driver.start(container);
  } catch (error) {
    await dispose();
    throw error;
  }
  const python: Canary['python'] = (code, uid = spec.uid) => run(container, uid, code);
  return {
    spec,
    container,
    python,
    see: async (code, uid) => readJson(await python(`import errno, json, os, sys\n${code}`, uid)),
    [Symbol.asyncDispose]: dispose,
  };
}

/** The file lies in /dev/shm because every user may write there. */
const RUN = 'f=/dev/shm/canary-$$.py; cat > "$f"; python3 "$f"; code=$?; rm -f "$f"; exit $code';

async function run(container: Docker.Container, uid: number, code: string): Promise<CanaryResult> {
  const options = { ...runnerExecOptions(uid), Cmd: ['/bin/sh', '-c', RUN], WorkingDir: '/dev/shm' };
  return await runIn(container, options, code);
}

/** Runs one command to its end. */
export async function runIn(
  container: Docker.Container,
  options: Docker.ExecCreateOptions,
  stdin = '',
): Promise<CanaryResult> {
  const exec = await container.exec(options);
  const stream = await exec.start({ hijack: true, stdin: true });
  const out = collect();
  const err = collect();
  container.modem.demuxStream(stream, out.sink, err.sink);
  stream.end(stdin);
  await finished(stream, { writable: false });
  const { ExitCode } = await exec.inspect();
  return { exitCode: ExitCode, stdout: out.text(), stderr: err.text() };
}

function readJson({ exitCode, stdout, stderr }: CanaryResult): unknown {
  if (exitCode !== 0) throw new Error(`exit code ${exitCode}\n${stderr}\n${stdout}`);
  return JSON.parse(stdout);
}

function collect() {
  const chunks: Buffer[] = [];
  const sink = new PassThrough();
  sink.on('data', (chunk: Buffer) => chunks.push(chunk));
  return { sink, text: () => Buffer.concat(chunks).toString() };
}
