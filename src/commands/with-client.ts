import type { Client } from '../client/client.ts';
import { openClient } from '../client/open-client.ts';
import type { Config } from '../config/load.ts';
import type { CommandContext } from './context.ts';
import { Console } from './run/console.ts';
import { OWN_FAILURE, statusOf } from './run/exit-status.ts';

/** Options that all commands for people have. */
export interface ClientCommandOptions {
  readonly local?: true | undefined;
}

/** What a command for people works with. */
export interface Work {
  readonly client: Client;
  readonly console: Console;
  /** Aborts when the command should end, or nobody reads its output any more. */
  readonly signal: AbortSignal;
}

interface How extends ClientCommandOptions {
  readonly keepsSessions: boolean;
}

/**
 * Opens a client for a command, and sets the exit status that `use` returns; that of a signal after a signal, and 125 for
 * what cannot be done.
 */
export async function withClient(
  config: Config,
  { local, keepsSessions }: How,
  context: CommandContext,
  use: (work: Work) => Promise<number>,
): Promise<void> {
  const broken = new AbortController();
  const signal = AbortSignal.any([context.signal, broken.signal]);
  const console = new Console(() => broken.abort());
  const { stoppedBy } = context;
  context.signal.addEventListener('abort', () => console.progress('Cancelling; Ctrl-C again ends this at once'));
  process.exitCode = OWN_FAILURE;
  try {
    console.progress('Looking for a server');
    const options = { isLocal: local === true, keepsSessions, signal, onProgress: console.progress };
    await using client = await openClient(config, options);
    process.exitCode = await use({ client, console, signal });
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    console.close();
    if (console.isBroken) process.exitCode = statusOf('SIGPIPE');
    else if (context.signal.aborted) process.exitCode = statusOf(stoppedBy() ?? 'SIGINT');
  }
}
