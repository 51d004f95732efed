import type { ClientTerminal } from '../../client/terminal.ts';
import type { Config } from '../../config/load.ts';
import { GloveboxError } from '../../errors.ts';
import type { CommandContext } from '../context.ts';
import { OWN_FAILURE } from '../run/exit-status.ts';
import { type ClientCommandOptions, type Work, withClient } from '../with-client.ts';
import { demandSession } from './demand-session.ts';
import { DetachKeys } from './detach-keys.ts';
import { readVariables, readWords } from './given-command.ts';
import { ScreenBytes } from './screen-bytes.ts';

export interface TerminalOptions extends ClientCommandOptions {
  /** Id of a terminal that is open already. */
  readonly attach?: string | undefined;
  readonly cwd?: string | undefined;
  readonly env?: readonly string[];
  readonly detach?: true;
}

/** Why a terminal ended that did not end by itself, for people. */
const REASONS: Readonly<Record<string, string>> = {
  closed: 'it was closed',
  idle: 'nobody looked at it for too long',
  hibernated: 'its session hibernated',
  session_closed: 'its session was closed',
  session_over: 'its session has reached its longest lifetime',
  sandbox_lost: 'its sandbox is gone',
  runner_lost: 'all processes of its session were ended',
  connection_lost: 'the server lost the connection to the container engine',
  out_of_memory: 'it needed more than its memory',
  server_stopped: 'the server was stopped',
};

/** Runs `glovebox exec -it`: shows a terminal of a session in this one. The exit status is its program's. */
export async function runTerminal(
  config: Config,
  [session, given]: readonly [string, readonly string[]],
  options: TerminalOptions,
  context: CommandContext,
): Promise<void> {
  const { stdin, stdout } = process;
  const words = readWords(given);
  if (options.detach) throw detachedTerminal();
  if (!stdin.isTTY || !stdout.isTTY) {
    throw new GloveboxError('invalid_input', 'This is no terminal, so it cannot show one.', {
      hint: 'Leave out -t: glovebox exec SESSION COMMAND',
    });
  }
  await withClient(config, { ...options, keepsSessions: true }, context, async (work) => {
    await demandSession(work.client, session);
    return await show(session, words, options, work);
  });
}

function detachedTerminal(): GloveboxError {
  return new GloveboxError(
    'invalid_input',
    '--detach does not go with --tty or --attach: nothing would show the terminal.',
    {
      hint: 'Leave out -t to run the command in the background. Or open the terminal, and leave it with Ctrl-P Ctrl-Q.',
    },
  );
}

async function show(
  session: string,
  words: readonly string[],
  { attach, cwd, env }: TerminalOptions,
  { client, console, signal }: Work,
): Promise<number> {
  const { stdin, stdout } = process;
  const screen = new ScreenBytes();
  const size = () => ({ rows: Math.min(stdout.rows, 1000) || 24, cols: Math.min(stdout.columns, 1000) || 80 });
  const note = (line: string) => console.own(`${screen.restore()}\r\nglovebox: ${line}\r\n`);
  console.progress('Opening a terminal');
  const terminal = await client.terminal(session, {
    ...{ ...size(), attach, cwd, env: readVariables(env), command: words.length > 0 ? words : undefined, signal },
    onOutput: (bytes) => console.own(screen.take(bytes)),
    onSkipped: (bytes) => void note(`${bytes} bytes were left out here`),
    onConnection: (isThere) => void note(isThere ? 'connected again' : 'the connection broke; trying again'),
  });
  console.endProgress();
  const onResize = () => terminal.resize(size());
  stdout.on('resize', onResize);
  stdin.setRawMode(true);
  const stop = typeKeys(terminal);
  try {
    const end = await terminal.ended;
    if (!end) {
      const again = terminal.outlives
        ? `left; back with: glovebox exec -it --attach ${terminal.id} ${session}`
        : 'ended';
      await note(again);
      return 0;
    }
    if (end.reason === 'exited') return end.exitCode ?? OWN_FAILURE;
    await note(`the terminal has ended: ${REASONS[end.reason] ?? end.reason}`);
    return end.exitCode ?? OWN_FAILURE;
  } finally {
    stop();
    stdout.off('resize', onResize);
    stdin.setRawMode(false);
    await console.own(screen.restore());
  }
}

/** Types what comes from standard input. Returns how to stop. */
function typeKeys(terminal: ClientTerminal): () => void {
  const { stdin } = process;
  const keys = new DetachKeys({
    type: (data) => {
      stdin.pause();
      void terminal.type(data).then(() => stdin.resume());
    },
    leave: () => terminal.leave(),
  });
  const onData = (data: Buffer) => keys.take(data);
  stdin.on('data', onData);
  return () => {
    keys.stop();
    stdin.off('data', onData);
    stdin.pause();
  };
}
