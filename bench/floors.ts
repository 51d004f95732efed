import { randomBytes, randomInt } from 'node:crypto';
import type { Duplex } from 'node:stream';
import type Docker from 'dockerode';
import { containerOptions, runnerExecOptions } from '../src/engines/docker/hardening/spec.ts';
import { environment } from './environment.ts';
import { execRates } from './exec-rates.ts';
import { assertOutput, CODE, OUTPUT, run } from './programs.ts';

/** What the engine alone takes for the same: the floors that Glovebox is compared with. */
export interface Floors {
  /** How `docker run` is measured: by its command, or by the calls that it makes. */
  readonly runBy: 'CLI' | 'API';
  /** `docker run --rm --network none IMAGE python3 -c 'print(1)'`. */
  dockerRun(): Promise<void>;
  /** A container with all of a sandbox's hardening, created and started. */
  createAndStart(): Promise<Docker.Container>;
  /** Runs Python in a container and passes on what it prints, framed as the engine sends it. */
  execPython(container: Docker.Container, code: string, onData: (chunk: Buffer) => void): Promise<void>;
  /** Runs `python3 -c 'print(1)'` in a container and checks what comes. */
  execPrint(container: Docker.Container): Promise<void>;
  /** Sends bytes to a program that reads and forgets them. */
  execIn(container: Docker.Container, body: Buffer): Promise<void>;
  /** Megabytes a second of so many bytes into a program and out of it, without its start. */
  execRates(container: Docker.Container, bytes: number): Promise<{ readonly in: number; readonly out: number }>;
  /** Takes so many bytes from a program that does nothing but write them. */
  execOut(container: Docker.Container, count: number): Promise<void>;
}

export interface FloorsOptions {
  readonly docker: Docker;
  readonly address: string;
  readonly image: string;
  /** The value of the label by which whatever is left can be found. */
  readonly owner: string;
}

export const OWNER_LABEL = 'glovebox.instance';
/** Users that no entry of the image names, as most sessions' are. */
const FIRST_UID = 12_000;
const LAST_UID = 60_000;

const PYTHON = ['python3', '-c', CODE];

export async function createFloors(options: FloorsOptions): Promise<Floors> {
  const { docker, image, owner } = options;
  const uid = randomInt(FIRST_UID, LAST_UID);
  const byCli = () => runByCli(options);
  const runBy = await byCli().then(
    () => 'CLI' as const,
    () => 'API' as const,
  );
  const execPython: Floors['execPython'] = (container, code, onData) =>
    exec(container, uid, ['python3', '-c', code], onData);
  return {
    runBy,
    dockerRun: runBy === 'CLI' ? byCli : () => runByApi(options),
    createAndStart: async () => {
      const sizes = { memoryMb: 1024, cpus: 1, pids: 128, diskMb: 512, maxLifetimeS: 3600 };
      const key = `bench-${randomBytes(6).toString('hex')}`;
      const container = await docker.createContainer(containerOptions({ ...sizes, key, uid, image, instance: owner }));
      await container.start();
      return container;
    },
    execPython,
    execIn: (container, body) => execIn(container, uid, body),
    execRates: (container, bytes) => execRates(container, uid, bytes),
    execOut: async (container, count) => {
      let bytes = 0;
      await exec(container, uid, ['head', '-c', String(count), '/dev/zero'], (chunk) => {
        bytes += chunk.length;
      });
      if (bytes < count) throw new Error(`An exec that writes ${count} bytes sent ${bytes}.`);
    },
    execPrint: async (container) => {
      let bytes = 0;
      await execPython(container, CODE, (chunk) => {
        bytes += chunk.length;
      });
      // The engine puts eight bytes before each piece.
      if (bytes !== OUTPUT.length + 8) throw new Error(`An exec of python3 sent ${bytes} bytes.`);
    },
  };
}

async function runByCli({ address, image, owner }: FloorsOptions): Promise<void> {
  const args = ['run', '--rm', '--network', 'none', '--label', `${OWNER_LABEL}=${owner}`, image, ...PYTHON];
  assertOutput(await run('docker', args, { ...environment(), DOCKER_HOST: address }), 'docker run');
}

async function runByApi({ docker, image, owner }: FloorsOptions): Promise<void> {
  const container = await docker.createContainer({
    Image: image,
    Cmd: PYTHON,
    Labels: { [OWNER_LABEL]: owner },
    HostConfig: { NetworkMode: 'none' },
  });
  const ended: Promise<{ StatusCode: number }> = container.wait({ condition: 'next-exit' });
  await container.start();
  const { StatusCode } = await ended;
  await container.remove();
  if (StatusCode !== 0) throw new Error(`A container that prints 1 ended with ${StatusCode}.`);
}

async function exec(
  container: Docker.Container,
  uid: number,
  command: string[],
  onData: (chunk: Buffer) => void,
): Promise<void> {
  const made = await container.exec({ ...runnerExecOptions(uid), Cmd: command, AttachStdin: false });
  const stream: Duplex = await made.start({ hijack: true, stdin: false });
  stream.on('data', onData);
  await new Promise((resolve, reject) => stream.once('end', resolve).once('error', reject));
}

async function execIn(container: Docker.Container, uid: number, body: Buffer): Promise<void> {
  const command = ['sh', '-c', `head -c ${body.length} | wc -c`];
  const made = await container.exec({ ...runnerExecOptions(uid), Cmd: command });
  const stream: Duplex = await made.start({ hijack: true, stdin: true });
  const chunks: Buffer[] = [];
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  const ended = new Promise((resolve, reject) => stream.once('end', resolve).once('error', reject));
  stream.write(body);
  await ended;
  stream.destroy();
  const answer = Buffer.concat(chunks).subarray(8).toString().trim();
  if (answer !== String(body.length)) throw new Error(`An exec that reads ${body.length} bytes answered ${answer}.`);
}
