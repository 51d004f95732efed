import { type ChildProcess, spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { environment } from './environment.ts';

export const CLI = fileURLToPath(new URL('../dist/cli.js', import.meta.url));
/** As `npm start` has them. */
const NODE_FLAGS = ['--max-semi-space-size=4'];
/** An image may have to be built first. */
const START_LIMIT_MS = 15 * 60_000;
/** Hundreds of sessions take their time. */
const STOP_LIMIT_MS = 120_000;
const READY_LIMIT_MS = 60_000;
const LOOK_AGAIN_MS = 10;

export interface Health {
  readonly engine: { readonly name: string; readonly version: string };
  readonly image: string;
  readonly pool: { readonly size: number; readonly ready: number };
}

/** A Glovebox of this run's own. Disposing of it stops it in order, if it runs. */
export interface Server extends AsyncDisposable {
  readonly url: string;
  readonly pid: number;
  health(): Promise<Health>;
  /** Settles when the pool is full, so that nothing is made in the background any more. */
  settled(): Promise<void>;
  /** Ends it as a crash does: nothing is put in order. */
  kill(): Promise<void>;
  /** Whether it has come to its end, whoever brought that about. */
  hasEnded(): boolean;
}

export interface ServerOptions {
  /** Besides those that all programs of a run have. */
  readonly env?: Readonly<Record<string, string>>;
  /** Of another build. */
  readonly cli?: string;
  /** For Node itself. */
  readonly nodeFlags?: readonly string[];
  /** Takes what the server says; it goes to stderr if left out. */
  readonly hear?: (chunk: Buffer) => void;
}

/** Starts `glovebox serve`, on a free port unless the flags name one. */
export async function startServer(
  flags: readonly string[],
  signal: AbortSignal,
  { env = {}, cli = CLI, nodeFlags = [], hear = (chunk) => void process.stderr.write(chunk) }: ServerOptions = {},
): Promise<Server> {
  const args = [...NODE_FLAGS, ...nodeFlags, cli, 'serve', '--port', '0', '--log-level', 'warn', ...flags];
  // In a process group of its own: Ctrl-C is for this program, which then stops it in order.
  const child = spawn(process.execPath, args, {
    env: { ...environment(), ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
    detached: true,
  });
  const stop = () => stopChild(child, 'SIGTERM');
  try {
    const url = await listening(child, hear, AbortSignal.any([signal, AbortSignal.timeout(START_LIMIT_MS)]));
    const health = async () => (await (await fetch(`${url}/health`)).json()) as Health;
    return {
      url,
      pid: child.pid ?? 0,
      health,
      settled: () => settled(health),
      kill: () => stopChild(child, 'SIGKILL'),
      hasEnded: () => hasEnded(child),
      [Symbol.asyncDispose]: stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** The URL that the server says it serves on. */
function listening(child: ChildProcess, hear: (chunk: Buffer) => void, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    let said = '';
    let serves = false;
    child.stderr?.on('data', (chunk: Buffer) => {
      if (serves) return hear(chunk);
      said = (said + chunk.toString()).slice(-2000);
      const url = /serves on (http:\S+)/.exec(said)?.[1];
      serves = url !== undefined;
      if (url) resolve(url);
      else hear(chunk);
    });
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`The server ended with ${code} before it served.`)));
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
  });
}

async function settled(health: () => Promise<Health>): Promise<void> {
  const deadline = performance.now() + READY_LIMIT_MS;
  while (performance.now() < deadline) {
    const { pool } = await health();
    if (pool.ready >= pool.size) return;
    await sleep(LOOK_AGAIN_MS);
  }
  throw new Error('The pool did not fill up.');
}

async function stopChild(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (hasEnded(child)) return;
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  child.kill(signal);
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_LIMIT_MS);
  await exited;
  clearTimeout(timer);
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null || child.pid === undefined;
}
