import { spawn } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { inject } from 'vitest';
import { CLI, type CliResult, exitOf, withDeadline } from './server.ts';

/** A command may have to start a sandbox, on a busy machine. */
const LIMIT_MS = 45_000;

export interface CommandOptions {
  readonly env: NodeJS.ProcessEnv;
  /** Its current folder. */
  readonly cwd?: string;
  /** Its whole standard input; `open` for a pipe into which nothing is written and that stays open. */
  readonly stdin?: string | 'open';
}

/** `glovebox` with a command, as a process from outside. */
export interface RunningCommand {
  readonly ended: Promise<CliResult>;
  /** Resolves once its output, or that of its terminal, has this text. */
  until(text: string): Promise<void>;
  kill(signal: NodeJS.Signals): void;
  /** Closes this end of its stdout, as `head` does. */
  closeStdout(): void;
  type(text: string | Uint8Array): void;
}

/** An empty folder, which the end of the test run removes. */
export function newFolder(): string {
  return mkdtempSync(join(inject('stateRoot'), 'cli-'));
}

export function startCommand(args: readonly string[], options: CommandOptions): RunningCommand {
  return start(process.execPath, [CLI, ...args], options);
}

/** On a terminal of 24 lines and 80 columns of its own, whose output is in `stdout`. */
export function startOnTerminal(args: readonly string[], options: CommandOptions): RunningCommand {
  const words = [process.execPath, CLI, ...args].map((word) => `'${word.replaceAll("'", "'\\''")}'`);
  const line = `stty rows 24 cols 80; exec ${words.join(' ')}`;
  return start('script', ['-qefc', line, '/dev/null'], { stdin: 'open', ...options });
}

export async function runCommand(args: readonly string[], options: CommandOptions): Promise<CliResult> {
  return await startCommand(args, options).ended;
}

function start(file: string, args: readonly string[], { env, cwd, stdin = '' }: CommandOptions): RunningCommand {
  const child = spawn(file, args, { env, stdio: 'pipe', ...(cwd === undefined ? {} : { cwd }) });
  const said = { stdout: '', stderr: '' };
  const waiting = new Set<() => void>();
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => {
      said[name] += text;
      for (const look of waiting) look();
    });
  }
  child.stdin.on('error', () => {});
  if (stdin !== 'open') child.stdin.end(stdin);
  const say = () => `${args.join(' ')} did not end or say it:\n${said.stdout}\n${said.stderr}`;
  const limited = <T>(promise: Promise<T>) => withDeadline(promise, LIMIT_MS, say, () => child.kill('SIGKILL'));
  return {
    ended: limited(exitOf(child)).then((exit) => ({ ...exit, ...said })),
    until: async (text) => {
      const { promise, resolve } = Promise.withResolvers<void>();
      const look = () => (said.stdout.includes(text) || said.stderr.includes(text) ? resolve() : undefined);
      waiting.add(look);
      look();
      await limited(promise);
      waiting.delete(look);
    },
    kill: (signal) => void child.kill(signal),
    closeStdout: () => void child.stdout.destroy(),
    type: (text) => void child.stdin.write(text),
  };
}
