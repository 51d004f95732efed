import type { Duplex } from 'node:stream';
import type Docker from 'dockerode';
import { runnerExecOptions } from '../src/engines/docker/hardening/spec.ts';

const PIECE = 64 * 1024;
/** Bytes that a pipe is made to hold, as by a runner that carries much. */
const PIPE = 256 * 1024;

/** Says that it is there, and how long it took to read all from the first byte on. */
const READ = `import fcntl, os, time
fcntl.fcntl(0, fcntl.F_SETPIPE_SZ, ${PIPE})
piece = bytearray(${PIECE})
os.write(1, b'ready')
left = BYTES - os.readv(0, [piece])
began = time.perf_counter()
while left: left -= os.readv(0, [piece])
os.write(1, b' %d ' % ((time.perf_counter() - began) * 1e9))
`;
const WRITE = `import fcntl, os
fcntl.fcntl(1, fcntl.F_SETPIPE_SZ, ${PIPE})
piece = memoryview(bytearray(${PIECE}))
os.read(0, 1)
left = BYTES
while left: left -= os.write(1, piece[:left])
`;

/** Megabytes a second of a stream of the engine's into a program and out of it, without its start and with nothing of ours. */
export async function execRates(container: Docker.Container, uid: number, bytes: number) {
  return { in: await rateIn(container, uid, bytes), out: await rateOut(container, uid, bytes) };
}

async function rateIn(container: Docker.Container, uid: number, bytes: number): Promise<number> {
  const stream = await start(container, uid, READ.replace('BYTES', String(bytes)));
  let said = '';
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const sent = Buffer.alloc(PIECE, 'x');
  const send = async () => {
    for (let left = bytes; left > 0; left -= PIECE) {
      const piece = sent.subarray(0, left);
      await new Promise<unknown>((written) => stream.write(piece, written));
    }
  };
  stream.on('data', (chunk: Buffer) => {
    if (said === '') void send();
    said += chunk.toString('latin1');
    const ns = / (\d+) $/.exec(said)?.[1];
    if (ns) resolve((bytes * 1000) / Number(ns));
  });
  stream.once('end', () => reject(new Error(`An exec that reads ${bytes} bytes said: ${said}`)));
  stream.once('error', reject);
  try {
    return await promise;
  } finally {
    stream.destroy();
  }
}

async function rateOut(container: Docker.Container, uid: number, bytes: number): Promise<number> {
  const stream = await start(container, uid, WRITE.replace('BYTES', String(bytes)));
  let came = 0;
  let began = 0;
  const ended = new Promise((resolve, reject) => stream.once('end', resolve).once('error', reject));
  stream.on('data', (chunk: Buffer) => {
    if (came === 0) began = performance.now();
    came += chunk.length;
  });
  stream.write('x');
  await ended;
  stream.destroy();
  if (came < bytes) throw new Error(`An exec that writes ${bytes} bytes sent ${came}.`);
  return bytes / 1000 / (performance.now() - began);
}

async function start(container: Docker.Container, uid: number, code: string): Promise<Duplex> {
  const made = await container.exec({ ...runnerExecOptions(uid), Cmd: ['python3', '-c', code] });
  return await made.start({ hijack: true, stdin: true });
}
