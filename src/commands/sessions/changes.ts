import type { Config } from '../../config/load.ts';
import { GloveboxError, toGloveboxError } from '../../errors.ts';
import type { CommandContext } from '../context.ts';
import { exitStatus, OWN_FAILURE } from '../run/exit-status.ts';
import { explainEnd } from '../run/explain-end.ts';
import { readTimeout } from '../run/quantities.ts';
import { pipedInput } from '../run/standard-input.ts';
import { type ClientCommandOptions, withClient } from '../with-client.ts';
import { demandSession } from './demand-session.ts';
import { readVariables, readWords } from './given-command.ts';

const SNAPSHOT = /^snp_/;

/** Runs `glovebox rm`: closes sessions and deletes snapshots, and writes the id of each. */
export async function runRm(
  config: Config,
  ids: readonly string[],
  options: ClientCommandOptions,
  context: CommandContext,
): Promise<void> {
  await withClient(config, { ...options, keepsSessions: true }, context, async ({ client, console }) => {
    let status = 0;
    for (const id of ids) {
      try {
        await (SNAPSHOT.test(id) ? client.deleteSnapshot(id) : client.close(id));
        await console.own(`${id}\n`);
      } catch (error) {
        console.note(`glovebox: ${toGloveboxError(error).message}`);
        status = OWN_FAILURE;
      }
    }
    return status;
  });
}

/** Runs `glovebox fork`: makes a session that begins as another one, or as a snapshot, and writes its id. */
export async function runFork(
  config: Config,
  [from, name]: readonly [string, string | undefined],
  options: ClientCommandOptions,
  context: CommandContext,
): Promise<void> {
  await withClient(config, { ...options, keepsSessions: true }, context, async ({ client, console }) => {
    const { id } = SNAPSHOT.test(from) ? await client.open({ name, snapshot: from }) : await client.fork(from, name);
    await console.own(`${id}\n`);
    return 0;
  });
}

function noCommand(): GloveboxError {
  return new GloveboxError('invalid_input', 'There is no command to run.', {
    hint: 'Write one after the session: glovebox exec mine ls. Or open a shell: glovebox exec -it mine',
  });
}

export interface ExecOptions extends ClientCommandOptions {
  readonly timeout?: string;
  readonly cwd?: string;
  readonly env?: readonly string[];
  readonly detach?: true;
  readonly stdinOpen?: true;
  readonly tty?: true;
  readonly attach?: string;
}

/** Runs `glovebox exec`: runs a command in a session. The exit status is the command's, or with `--detach` its id is written. */
export async function runExec(
  config: Config,
  [session, words]: readonly [string, readonly string[]],
  options: ExecOptions,
  context: CommandContext,
): Promise<void> {
  const command = readWords(words);
  const timeoutMs = options.timeout === undefined ? undefined : readTimeout(options.timeout);
  const env = readVariables(options.env);
  if (command.length === 0) throw noCommand();
  if (options.stdinOpen && !options.detach) throw notDetached();
  await withClient(config, { ...options, keepsSessions: true }, context, async ({ client, console, signal }) => {
    await demandSession(client, session);
    const { cwd, detach, stdinOpen } = options;
    if (detach) {
      const id = await client.startCommand(session, command, { cwd, env, timeoutMs, stdinOpen });
      await console.own(`${id}\n`);
      return 0;
    }
    const end = await client.command(session, command, {
      ...{ cwd, env, stdin: pipedInput(), asBytes: true, timeoutMs, signal },
      onEvent: async (event) => {
        if (event.type === 'progress') console.progress(event.message);
        else if (event.type !== 'display') await console.program(event.type, event.bytes ?? event.text);
      },
    });
    console.endProgress();
    for (const line of explainEnd(end, client)) console.note(`glovebox: ${line}`);
    return exitStatus(end);
  });
}

function notDetached(): GloveboxError {
  return new GloveboxError('invalid_input', '--stdin-open is for a command in the background.', {
    hint: 'Add --detach. Without it, pipe the input into the command.',
  });
}
