import { CommanderError } from 'commander';
import { toGloveboxError } from '../errors.ts';
import { version } from '../version.ts';
import { createProgram } from './program.ts';
import { explainUsage } from './usage-error.ts';

/** Time without progress after which a shutdown is ended, in milliseconds. The next start removes the rest. */
const SHUTDOWN_LIMIT_MS = 15_000;
/** Number of ended sessions between two progress messages of a shutdown. Removing hundreds of containers takes long. */
const TELL_EVERY_SESSIONS = 50;

const say = (line: string) => process.stderr.write(`${line}\n`);

const stop = new AbortController();
let stoppedBy: NodeJS.Signals | undefined;
let shutdownLimit: NodeJS.Timeout | undefined;

function onEnded(left: number): void {
  shutdownLimit?.refresh();
  if (left > 0 && left % TELL_EVERY_SESSIONS === 0) say(`Stopping: ${left} sessions are left.`);
}

function watchSignals(): void {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      if (stop.signal.aborted && signal === 'SIGINT') process.exit(130);
      stoppedBy ??= signal;
      stop.abort();
      shutdownLimit ??= setTimeout(() => process.exit(1), SHUTDOWN_LIMIT_MS).unref();
    });
  }
}

async function main(words: string[]): Promise<void> {
  const program = createProgram(version, { say, signal: stop.signal, stoppedBy: () => stoppedBy, onEnded }, words);
  try {
    await program.hook('preAction', watchSignals).parseAsync(words, { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    const { text, exitCode } = explainUsage(error, words, program);
    if (text !== '') say(text);
    process.exitCode = exitCode;
  }
}

// Without a command, it serves.
main(process.argv.length > 2 ? process.argv.slice(2) : ['serve']).then(
  () => process.exit(),
  (thrown: unknown) => {
    if (stop.signal.aborted) process.exit(130);
    const error = toGloveboxError(thrown);
    say(`glovebox: ${error.message}\n${error.hint}`);
    if (error.code === 'internal_error') say(String(error.cause instanceof Error ? error.cause.stack : error.cause));
    process.exit(process.exitCode ?? 1);
  },
);
