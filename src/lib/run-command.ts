import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';

export interface Outcome {
  /** Exit code; null when a signal ended the program, or it could not be started. */
  readonly code: number | null;
  readonly stdout: string;
  /** Standard error, with the reason if the program could not be started. */
  readonly stderr: string;
}

export interface RunOptions {
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal | undefined;
  /** Called with each line of standard output as it arrives. */
  readonly onLine?: (line: string) => void;
  /** Environment of the program; that of this process if left out. */
  readonly env?: NodeJS.ProcessEnv;
}

/** Runs a program on this host. Rejects only when the signal aborts. */
export async function runCommand(command: string, args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  const child = spawn(command, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(options.timeoutMs ? { timeout: options.timeoutMs } : {}),
    ...(options.signal ? { signal: options.signal } : {}),
    ...(options.env ? { env: options.env } : {}),
  });
  if (options.onLine) createInterface({ input: child.stdout }).on('line', options.onLine);
  const stdout = collect(child.stdout);
  const stderr = collect(child.stderr);
  const code = await waitForExit(child, stderr);
  options.signal?.throwIfAborted();
  return { code, stdout: stdout.join(''), stderr: stderr.join('') };
}

/** Resolves with the exit code of a child once its output has ended. If it cannot start, `stderr` gets the reason. */
export async function waitForExit(child: ChildProcess, stderr: string[]): Promise<number | null> {
  try {
    const [code] = (await once(child, 'close')) as [number | null];
    return code;
  } catch (error) {
    stderr.push(error instanceof Error ? error.message : String(error));
    return null;
  }
}

/** Collects the text of a stream. The returned array grows as more text arrives. */
export function collect(stream: Readable): string[] {
  const chunks: string[] = [];
  stream.setEncoding('utf8').on('data', (chunk: string) => chunks.push(chunk));
  return chunks;
}
