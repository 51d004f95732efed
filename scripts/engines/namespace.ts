import { type ChildProcess, type ChildProcessByStdio, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { CACHE_DIR } from './roots.ts';

const ENTER = fileURLToPath(new URL('enter.sh', import.meta.url));
const CGROUPS = '/sys/fs/cgroup';
const PARENT = 'glovebox-engines';
/** Longest wait for the processes of an engine to disappear, in milliseconds. */
const END_LIMIT_MS = 20_000;

/** A service in namespaces of its own. Disposing of it ends all that runs there, and removes its files. */
export interface Namespace extends AsyncDisposable {
  readonly folder: string;
  /** Parent of the first process inside. */
  readonly pid: number;
  /** What the service said. */
  readLog(): string;
  /** Whether the service still runs. */
  isRunning(): boolean;
}

export interface Service {
  readonly name: string;
  readonly root: string;
  /** Makes the command line, once the folder of the run is there. */
  readonly command: (folder: string) => readonly string[];
  readonly prepare: readonly string[];
}

/** Starts a service in namespaces of its own. The folder for temporary files is shared with it. */
export function enterNamespace({ name, root, command, prepare }: Service): Namespace {
  const run = `run-${process.pid}-${name}`;
  const folder = join(CACHE_DIR, run);
  mkdirSync(folder, { recursive: true });
  const child = spawn(ENTER, [root, folder, run, tmpdir(), ...command(folder)], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', PREPARE: prepare.join('\n') },
  });
  return superviseRun(run, child);
}

/** What became of a run, whose process ends with it. */
export function superviseRun(run: string, child: ChildProcessByStdio<null, Readable, Readable>): Namespace {
  const log: Buffer[] = [];
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => log.push(chunk));
  return {
    folder: join(CACHE_DIR, run),
    pid: child.pid ?? 0,
    readLog: () => Buffer.concat(log).toString(),
    isRunning: () => child.exitCode === null && child.signalCode === null,
    [Symbol.asyncDispose]: async () => {
      await end(child);
      await removeRun(run);
    },
  };
}

/** Removes what runs left that were killed themselves. */
export async function removeAbandoned(): Promise<void> {
  if (!existsSync(CACHE_DIR)) return;
  for (const name of readdirSync(CACHE_DIR)) {
    const pid = /^run-(\d+)-|^\w+-\w+\.(\d+)$/.exec(name)?.slice(1).find(Boolean);
    if (pid && !existsSync(`/proc/${pid}`)) await removeRun(name);
  }
}

/** Ends the first process of the namespaces, and with it all others. */
async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await ended;
}

async function removeRun(name: string): Promise<void> {
  const deadline = Date.now() + END_LIMIT_MS;
  // Processes that were killed hold their group, and files, for a moment.
  while (!removeGroups(name) && Date.now() < deadline) await sleep(100);
  rmSync(join(CACHE_DIR, name), { recursive: true, force: true, maxRetries: 5 });
}

/** Removes the control groups of a run. Returns false while some of them have processes. */
function removeGroups(name: string): boolean {
  let done = true;
  for (const controller of readdirSync(CGROUPS)) {
    const parent = join(CGROUPS, controller, PARENT);
    if (!existsSync(parent)) continue;
    done = removeGroup(join(parent, name)) && done;
    if (readdirSync(parent, { withFileTypes: true }).every((entry) => !entry.isDirectory())) removeGroup(parent);
  }
  return done;
}

function removeGroup(path: string): boolean {
  if (!existsSync(path)) return true;
  const inner = readdirSync(path, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  if (!inner.map(({ name }) => removeGroup(join(path, name))).every(Boolean)) return false;
  try {
    rmdirSync(path);
    return true;
  } catch {
    return false;
  }
}
