import { mkdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type Docker from 'dockerode';
import { environment } from '../bench/environment.ts';
import { loadConfig } from '../src/config/load.ts';
import { connectEngine, createDockerClient, pingEngine } from '../src/engines/docker/connect/connect.ts';
import { ensureImage } from '../src/engines/docker/images/sandbox-image.ts';
import { type DaemonPaths, SYSTEM_DAEMON, startDaemon } from '../src/engines/docker/install/daemon.ts';
import { canStartSecond, removeSecond, secondDaemon } from '../test/support/second-daemon.ts';

const PING_MS = 2000;
const STOP_LIMIT_MS = 60_000;
const LOOK_EVERY_MS = 50;

const report = (line: string) => process.stderr.write(`${line}\n`);

/** The engine of a run. Disposing of it removes what was set up for it. */
export interface RunEngine extends AsyncDisposable {
  readonly docker: Docker;
  readonly address: string;
  /** Its process; undefined where that cannot be seen. */
  readonly pid: number | undefined;
  /** Absent where the engine is not this run's to end. */
  readonly faults?: {
    /** Ends it; what ran in it may go on until it is started again. */
    end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void>;
    start(): Promise<void>;
    /** Stops it where it is, or lets it go on. */
    signal(signal: 'SIGSTOP' | 'SIGCONT'): void;
  };
}

/**
 * A daemon of this run alone, with the sandbox image; the machine's own engine where that is asked for, or where there
 * can be no other.
 */
export async function openRunEngine(root: string, which: 'own' | 'machine'): Promise<RunEngine> {
  const config = loadConfig(environment(), { image: 'slim' });
  const machine = await connectEngine(config);
  const image = await ensureImage(machine.docker, config, report);
  if (which === 'own' && canStartSecond) {
    return await copyImage(machine.docker, image, await startOwn(root));
  }
  if (which === 'own')
    report('There is no root or no dockerd here: the engine of this machine is used, and not ended.');
  const pid = readPid(SYSTEM_DAEMON.pidFile);
  return { docker: machine.docker, address: machine.address, pid, [Symbol.asyncDispose]: async () => {} };
}

async function copyImage(from: Docker, image: string, engine: RunEngine): Promise<RunEngine> {
  report('Copying the sandbox image to the engine of this run …');
  const loading = await engine.docker.loadImage(await from.getImage(image).get());
  loading.resume();
  await new Promise((resolve, reject) => loading.once('end', resolve).once('error', reject));
  return engine;
}

async function startOwn(root: string): Promise<RunEngine> {
  mkdirSync(root, { recursive: true });
  const paths = secondDaemon(root);
  const address = `unix://${paths.socket}`;
  const docker = createDockerClient({ address, source: paths.socket });
  const answers = () =>
    pingEngine(docker, PING_MS).then(
      () => true,
      () => false,
    );
  let stop: (() => Promise<void>) | undefined;
  const start = async () => {
    stop = await startDaemon(paths, answers);
  };
  await start();
  return {
    docker,
    address,
    pid: readPid(paths.pidFile),
    faults: {
      start,
      end: (signal) => end(pidOf(paths), signal),
      signal: (signal) => void process.kill(pidOf(paths), signal),
    },
    [Symbol.asyncDispose]: async () => {
      await stop?.();
      removeSecond(root);
    },
  };
}

function pidOf({ pidFile }: DaemonPaths): number {
  const pid = readPid(pidFile);
  if (pid === undefined) throw new Error('The engine of this run does not run.');
  return pid;
}

async function end(pid: number, signal: NodeJS.Signals): Promise<void> {
  process.kill(pid, signal);
  const deadline = performance.now() + STOP_LIMIT_MS;
  while (isAlive(pid)) {
    if (performance.now() > deadline) throw new Error(`The engine did not end at ${signal}.`);
    await sleep(LOOK_EVERY_MS);
  }
}

function isAlive(pid: number): boolean {
  try {
    return !/^State:\s*Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

function readPid(path: string): number | undefined {
  try {
    return Number(readFileSync(path, 'utf8'));
  } catch {
    return undefined;
  }
}
