import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';

export interface Outcome {
  /** Exit code; null when a signal ended it or it could not be started. */
  readonly code: number | null;
  readonly stdout: string;
  /** Standard error, and the reason when it could not be started. */
  readonly stderr: string;
}

export interface RunOptions {
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal | undefined;
  /** Told every line of standard output as it comes. */
  readonly onLine?: (line: string) => void;
}

/** Runs a program of this host with this process's environment; never rejects but for an aborted signal. */
export async function runCommand(command: string, args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  const child = spawn(command, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(options.timeoutMs ? { timeout: options.timeoutMs } : {}),
    ...(options.signal ? { signal: options.signal } : {}),
  });
  if (options.onLine) createInterface({ input: child.stdout }).on('line', options.onLine);
  const stdout = collect(child.stdout);
  const stderr = collect(child.stderr);
  const code = await waitForExit(child, stderr);
  options.signal?.throwIfAborted();
  return { code, stdout: stdout.join(''), stderr: stderr.join('') };
}

/** The exit code of a child, once its output has ended; the reason it could not start goes to `stderr`. */
export async function waitForExit(child: ChildProcess, stderr: string[]): Promise<number | null> {
  try {
    const [code] = (await once(child, 'close')) as [number | null];
    return code;
  } catch (error) {
    stderr.push(error instanceof Error ? error.message : String(error));
    return null;
  }
}

/** The text that a stream has given so far; grows as more comes. */
export function collect(stream: Readable): string[] {
  const chunks: string[] = [];
  stream.setEncoding('utf8').on('data', (chunk: string) => chunks.push(chunk));
  return chunks;
}
