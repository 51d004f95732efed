import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const LOOK_EVERY_MS = 20;
/** Longest wait for a process that was killed, in milliseconds. */
const END_LIMIT_MS = 20_000;
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** A process that no other can be taken for: numbers are given again. */
export interface KnownProcess {
  readonly pid: number;
  /** When it started, in ticks since the boot. */
  readonly started: string;
}

/** Starts a program that outlives this process. What it says goes to the end of a file. */
export function startDetached(command: readonly [string, ...string[]], log: string): KnownProcess {
  const output = openSync(log, 'a');
  const [program, ...args] = command;
  const child = spawn(program, args, {
    detached: true,
    stdio: ['ignore', output, output],
    env: { PATH, HOME: '/root' },
  });
  closeSync(output);
  // A program that cannot be started has no number.
  child.on('error', () => {});
  child.unref();
  const known = child.pid === undefined ? undefined : knownProcess(child.pid);
  if (!known) throw new Error(`${program} could not be started.`);
  return known;
}

export function ownProcess(): KnownProcess {
  const known = knownProcess(process.pid);
  if (!known) throw new Error('/proc is not mounted.');
  return known;
}

/** Waits for the first child of a process. */
export async function firstChildOf({ pid }: KnownProcess, limitMs: number): Promise<KnownProcess> {
  const deadline = Date.now() + limitMs;
  for (;;) {
    const known = knownProcess(firstChild(pid));
    if (known) return known;
    if (Date.now() > deadline) throw new Error(`Process ${pid} has no child.`);
    await sleep(LOOK_EVERY_MS);
  }
}

export function isAlive({ pid, started }: KnownProcess): boolean {
  return knownProcess(pid)?.started === started;
}

/** Kills a process, and waits until it is gone. */
export async function killProcess(known: KnownProcess, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
  const deadline = Date.now() + END_LIMIT_MS;
  if (isAlive(known)) sendSignal(known.pid, signal);
  while (isAlive(known)) {
    if (Date.now() > deadline) throw new Error(`Process ${known.pid} did not end.`);
    await sleep(LOOK_EVERY_MS);
  }
}

function sendSignal(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended meanwhile.
  }
}

/** A process as it can be found again. Undefined if there is none, or only what its parent has not asked for yet. */
export function knownProcess(pid: number): KnownProcess | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const [state, started] = [fields[0], fields[19]];
    return state === 'Z' || state === 'X' || started === undefined ? undefined : { pid, started };
  } catch {
    return undefined;
  }
}

function firstChild(pid: number): number {
  try {
    return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ')[0] || 0);
  } catch {
    return 0;
  }
}
