import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { runCommand } from '../../../lib/run-command.ts';
import { lastLines } from '../host/progress.ts';

/** Time for a daemon to start, in milliseconds. After a crash, it first restores or kills the old containers. */
const START_DEADLINE_MS = 90_000;
/** Time for a daemon to end, in milliseconds, before it is killed. */
const STOP_DEADLINE_MS = 30_000;
/** Time for an old containerd to end by itself, in milliseconds. */
const CONTAINERD_GRACE_MS = 2000;

/** Paths and options of a daemon. */
export interface DaemonPaths {
  readonly socket: string;
  readonly pidFile: string;
  readonly containerdDir: string;
  readonly logFile: string;
  /** Command that runs the daemon; `dockerd` by default. */
  readonly command?: readonly [string, ...string[]];
  /** Further arguments of `dockerd`. */
  readonly args: readonly string[];
}

/** Default paths of `dockerd`. */
export const SYSTEM_DAEMON: DaemonPaths = {
  socket: '/var/run/docker.sock',
  pidFile: '/var/run/docker.pid',
  containerdDir: '/var/run/docker/containerd',
  logFile: '/var/log/glovebox-dockerd.log',
  args: [],
};

/**
 * Starts `dockerd` so that it outlives this process, unless one is starting or running already.
 * @param answers tells whether the daemon answers
 * @returns a function that stops the daemon, or undefined when this call did not start it
 * @throws Error with the last lines of the daemon's log
 */
export async function startDaemon(
  paths: DaemonPaths,
  answers: () => Promise<boolean>,
  signal?: AbortSignal,
): Promise<(() => Promise<void>) | undefined> {
  if (findProcess(paths.pidFile, 'dockerd') !== undefined) {
    await waitForAnswer(paths, answers, undefined, 0, signal);
    return undefined;
  }
  await clearStaleFiles(paths);
  await mountCgroups();
  const logStart = existsSync(paths.logFile) ? statSync(paths.logFile).size : 0;
  const child = spawnDaemon(paths);
  try {
    await waitForAnswer(paths, answers, child, logStart, signal);
  } catch (error) {
    await stopDaemon(paths, child);
    throw error;
  }
  if (hasEnded(child)) return undefined;
  child.unref();
  return () => stopDaemon(paths, child);
}

function spawnDaemon({ logFile, command = ['dockerd'], args, socket, pidFile }: DaemonPaths): ChildProcess {
  const [name, ...before] = command;
  const log = openSync(logFile, 'a', 0o600);
  try {
    const child = spawn(name, [...before, '--host', `unix://${socket}`, '--pidfile', pidFile, ...args], {
      detached: true,
      stdio: ['ignore', log, log],
    });
    // If it cannot be started, it has no pid.
    child.on('error', () => {});
    return child;
  } finally {
    closeSync(log);
  }
}

async function waitForAnswer(
  paths: DaemonPaths,
  answers: () => Promise<boolean>,
  child: ChildProcess | undefined,
  logStart: number,
  signal?: AbortSignal,
): Promise<void> {
  const deadline = Date.now() + START_DEADLINE_MS;
  while (!(await answers())) {
    // If two daemons start at the same time, one of them ends. The other can be used.
    const hasFailed = child && hasEnded(child) && findProcess(paths.pidFile, 'dockerd') === undefined;
    if (hasFailed || Date.now() > deadline) {
      const what = hasFailed
        ? 'dockerd ended while starting'
        : `dockerd did not answer within ${START_DEADLINE_MS / 1000} s`;
      throw new Error(`${what}; the end of ${paths.logFile}:\n${readLogEnd(paths.logFile, logStart)}`);
    }
    await sleep(200, undefined, signal ? { signal } : {});
  }
}

function readLogEnd(logFile: string, start: number): string {
  try {
    const log = readFileSync(logFile).subarray(start).toString('utf8');
    // The error is often followed by many lines about the shutdown.
    const errors = log.split('\n').filter((line) => !/level=(debug|info)/.test(line));
    return lastLines(errors.some((line) => line.trim()) ? errors.join('\n') : log);
  } catch {
    return '(there is none)';
  }
}

/** Removes the files of a daemon that was killed. They would block the next one if another process has its pid now. */
async function clearStaleFiles({ pidFile, containerdDir, socket }: DaemonPaths): Promise<void> {
  rmSync(pidFile, { force: true });
  rmSync(socket, { force: true });
  // A containerd that is about to end must be gone, or the next daemon would use it. One that keeps running is reused.
  const isGone = () => findProcess(`${containerdDir}/containerd.pid`, 'containerd') === undefined;
  if (!(await waitUntil(isGone, CONTAINERD_GRACE_MS))) return;
  for (const name of ['containerd.pid', 'containerd.sock', 'containerd.sock.ttrpc', 'containerd-debug.sock']) {
    rmSync(`${containerdDir}/${name}`, { force: true });
  }
}

/** Mounts the cgroup hierarchies with a script of Debian, if no init system has done it. */
async function mountCgroups(): Promise<void> {
  if (existsSync('/sys/fs/cgroup') && readdirSync('/sys/fs/cgroup').length > 0) return;
  await runCommand('cgroupfs-mount', []);
}

async function stopDaemon({ pidFile, containerdDir }: DaemonPaths, child: ChildProcess): Promise<void> {
  // Read before the stop, because the daemon removes the file even if containerd keeps running.
  const containerd = findProcess(`${containerdDir}/containerd.pid`, 'containerd');
  if (child.pid !== undefined && !hasEnded(child)) {
    child.kill('SIGTERM');
    if (!(await waitUntil(() => hasEnded(child)))) child.kill('SIGKILL');
    rmSync(pidFile, { force: true });
  }
  if (containerd === undefined || !isProcess(containerd, 'containerd')) return;
  process.kill(containerd, 'SIGTERM');
  if (!(await waitUntil(() => !isProcess(containerd, 'containerd')))) process.kill(containerd, 'SIGKILL');
}

function hasEnded(child: ChildProcess): boolean {
  return child.pid === undefined || child.exitCode !== null || child.signalCode !== null;
}

async function waitUntil(condition: () => boolean, limitMs: number = STOP_DEADLINE_MS): Promise<boolean> {
  const deadline = Date.now() + limitMs;
  while (!condition()) {
    if (Date.now() > deadline) return false;
    await sleep(50);
  }
  return true;
}

/** The pid in a pid file, if it belongs to a process with the given name. */
function findProcess(pidFile: string, name: string): number | undefined {
  try {
    const pid = Number.parseInt(readFileSync(pidFile, 'utf8'), 10);
    return isProcess(pid, name) ? pid : undefined;
  } catch {
    return undefined;
  }
}

function isProcess(pid: number, name: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim() === name;
  } catch {
    return false;
  }
}
