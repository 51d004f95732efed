import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createDockerClient } from '../../../src/engines/docker/connect/connect.ts';
import type { EngineEntry } from '../catalog.ts';
import { loadSandboxImage } from '../images.ts';
import { type Namespace, superviseRun } from '../namespace.ts';
import { CACHE_DIR, ensurePackages, ensureRootWith, readVersions } from '../roots.ts';
import { awaitEngine, type RunningEngine, type StartOptions, socketOf, startEngine } from '../services.ts';
import { GUEST_PACKAGES, writeGuest } from './guest.ts';

const HOST = fileURLToPath(new URL('host.sh', import.meta.url));
const EMULATOR_PACKAGES = ['qemu-system-x86', 'virtiofsd', 'e2fsprogs', 'iproute2', 'socat', 'tini'];
const MEMORY = '4G';
/** Makes clocks and timers eight times slower: an emulated processor takes about so much longer. */
const SLOW_CLOCK = new URL('slow-clock.mjs?8', import.meta.url).href;
/** Longest start in milliseconds of the slow clock. */
const START_LIMIT_MS = 120_000;
/**
 * What the kernel says of a processor whose timer has stopped. It was seen at the start of a machine on a host with ten
 * times as much to do as it can, and such a machine does nothing more.
 */
const STALLED = "timer wakeup didn't happen";

/**
 * Starts an engine in a virtual machine of its own, with a kernel of Debian, by software emulation: no machine needs to
 * allow virtual ones, and none needs control groups of version 2. Disposing of it ends the machine, and nothing of it stays.
 * @throws Error when it does not answer
 */
export async function startInMachine(entry: EngineEntry, options: StartOptions): Promise<RunningEngine> {
  let hasStalled = false;
  const isStalled = (log: string) => {
    hasStalled = log.includes(STALLED);
    return hasStalled;
  };
  try {
    return await boot(entry, options, isStalled);
  } catch (error) {
    if (!hasStalled) throw error;
    options.report('The clock of the virtual machine has stopped. Starting another …');
    return await boot(entry, options, () => false);
  }
}

/** @param isStalled whether a machine with this log is to be given up */
async function boot(
  entry: EngineEntry,
  options: StartOptions,
  isStalled: (log: string) => boolean,
): Promise<RunningEngine> {
  const { report, signal } = options;
  const emulator = await ensurePackages('trixie', EMULATOR_PACKAGES, report, signal);
  const root = await ensureRootWith(entry.suite, GUEST_PACKAGES, report, signal);
  const run = `run-${process.pid}-${entry.name}-machine`;
  const folder = join(CACHE_DIR, run);
  await using stack = new AsyncDisposableStack();
  // Short, because tests have sockets there.
  const shared = mkdtempSync(join(tmpdir(), 'machine-'));
  stack.defer(() => rmSync(shared, { recursive: true, force: true }));
  mkdirSync(join(folder, 'socket'), { recursive: true });
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  await fillData(entry, folder, options);
  writeGuest(join(folder, 'upper'), entry, shared);
  const namespace = stack.use(startMachine(run, [emulator, root, folder, shared, MEMORY]));
  const address = `unix://${socketOf(folder)}`;
  const docker = createDockerClient({ address, source: 'this run' });
  // For what this program asks of the engine itself.
  await import(SLOW_CLOCK);
  report('Starting the virtual machine …');
  const isHopeless = () => isStalled(namespace.readLog());
  await awaitEngine(docker, namespace, { title: entry.title, limitMs: START_LIMIT_MS, isHopeless, signal });
  const versions = await readVersions(root, entry.packages);
  const owned = stack.move();
  const env = { TMPDIR: shared, NODE_OPTIONS: `--import=${SLOW_CLOCK}` };
  return { docker, address, folder, env, versions, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/**
 * Fills the data of the engine: the same one loads the image in namespaces of this machine, at full speed, and leaves its
 * files to the virtual machine.
 */
async function fillData(entry: EngineEntry, folder: string, { report, signal }: StartOptions): Promise<void> {
  await using engine = await startEngine(entry, { hasNetwork: false, report, signal });
  await loadSandboxImage(engine.docker, report, signal);
  renameSync(join(engine.folder, 'data'), join(folder, 'data'));
}

function startMachine(run: string, args: readonly string[]): Namespace {
  const env = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' };
  const namespace = superviseRun(run, spawn(HOST, args, { stdio: ['ignore', 'pipe', 'pipe'], env }));
  const console = join(namespace.folder, 'console');
  const readConsole = () => (existsSync(console) ? readFileSync(console, 'utf8') : '');
  return { ...namespace, readLog: () => `${namespace.readLog()}${readConsole()}` };
}
