import type { Command } from 'commander';
import type { Config } from '../config/load.ts';
import type { CommandContext } from './context.ts';
import { OWN_FAILURE } from './run/exit-status.ts';
import type { RunOptions } from './run/run.ts';
import type { ExecOptions } from './sessions/changes.ts';
import type { LogsOptions } from './sessions/listing.ts';
import type { InputOptions, KillOptions } from './sessions/programs.ts';
import { configOf } from './settings-options.ts';
import type { UninstallOptions } from './uninstall/uninstall.ts';
import type { ClientCommandOptions } from './with-client.ts';

const GROUP = 'Run code:';
/** Lines of a log are for operators; people see messages. Only what is an error is shown. */
const QUIET = { log_level: 'error' };
const LOCAL = ['--local', 'Take an engine of this machine, even if a server runs.'] as const;
const RUN = `Run a Python program in a sandbox of its own, and show what it writes as it comes.

  glovebox run chart.py --width 800        arguments of the program come after it
  glovebox run --with pandas --file data.csv report.py
  glovebox run -c 'print(6 * 7)'           or - for code from standard input

The exit status is the program's; 124 at its time limit, 130 after Ctrl-C, 125 if
it could not be run. Pictures are written to files, and shown if the terminal can.
It uses the server that runs on this machine, or the one of GLOVEBOX_URL with
GLOVEBOX_KEY; else a container engine by itself.`;

/** Adds the commands by which people run code. Options that they share are those of the settings `url` and `key`. */
export function addPeopleCommands(program: Command, context: CommandContext): void {
  const add = (name: string, summary: string) => program.command(name).summary(summary).helpGroup(GROUP);
  add('run', 'Run a Python program, or code after -c.')
    .description(RUN)
    .argument('[file]')
    .argument('[args...]')
    .option('-c, --code <code>', 'Code to run, in place of a file.')
    .option('--with <packages>', 'Packages to install first, such as pandas,requests.', collect)
    .option('--file <path>', 'File or folder to send along. Once for each.', collect)
    .option('--out <folder>', 'Folder for pictures, and files that the program makes.')
    .option('--session <name>', 'Session to run in, which keeps its files and packages.')
    .option('--timeout <time>', 'Time limit, such as 90 (seconds) or 5m.')
    .option('--memory <size>', 'Memory, such as 512 (MiB) or 2g. A server has its own.')
    .option('--web <hosts>', 'Hosts that it may reach, such as api.example.com, of those allowed here.', collect)
    .option(...LOCAL)
    .passThroughOptions()
    .action(async (file: string | undefined, args: string[], options: RunOptions, command: Command) => {
      const words = file === undefined ? args : [file, ...args];
      await (await import('./run/run.ts')).runRun(settingsFor(command), words, options, context);
    });
  addSessionCommands(program, context);
}

/** Adds the commands that look after sessions. */
function addSessionCommands(program: Command, context: CommandContext): void {
  const add = (name: string, summary: string, description = summary) => {
    const command = program.command(name).summary(summary).description(description).helpGroup(GROUP);
    return command.option(...LOCAL);
  };
  const listing = () => import('./sessions/listing.ts');
  const changes = () => import('./sessions/changes.ts');
  add('ps', 'List sessions and what ran last, or what one runs.', PS)
    .argument('[session]')
    .action(async (session: string | undefined, options: ClientCommandOptions, command: Command) =>
      (await listing()).runPs(settingsFor(command), session, options, context),
    );
  add('logs', 'Show what an execution wrote.', 'Show what an execution wrote, or the last one of a session.')
    .argument('<id>')
    .option('-f, --follow', 'Go on until the end of an execution in the background.')
    .action(async (id: string, options: LogsOptions, command: Command) =>
      (await listing()).runLogs(settingsFor(command), id, options, context),
    );
  add('cp', 'Copy files between here and SESSION:PATH.', CP)
    .argument('<from>')
    .argument('<to>')
    .action(async (from: string, to: string, options: ClientCommandOptions, command: Command) =>
      (await import('./sessions/cp.ts')).runCp(settingsFor(command), [from, to], options, context),
    );
  addExec(add('exec', 'Run a command in a session, such as ls.', EXEC), context);
  addProgramCommands(add, context);
  add('rm', 'Close sessions, and delete snapshots.')
    .argument('<id...>')
    .action(async (ids: string[], options: ClientCommandOptions, command: Command) =>
      (await changes()).runRm(settingsFor(command), ids, options, context),
    );
  add('snapshot', 'Make a snapshot of a session, or list them.')
    .argument('[session]')
    .action(async (session: string | undefined, options: ClientCommandOptions, command: Command) =>
      (await listing()).runSnapshot(settingsFor(command), session, options, context),
    );
  add('fork', 'Make a session that begins as another, or a snapshot.')
    .argument('<from>')
    .argument('[name]')
    .action(async (from: string, name: string | undefined, options: ClientCommandOptions, command: Command) =>
      (await changes()).runFork(settingsFor(command), [from, name], options, context),
    );
}

/** Adds the commands that reach what runs in the background. */
function addProgramCommands(add: (name: string, summary: string, more: string) => Command, context: CommandContext) {
  const programs = () => import('./sessions/programs.ts');
  add('input', 'Pass standard input on to what runs in the background.', INPUT)
    .argument('<execution>')
    .option('--close', 'Then let the program find the end of its input.')
    .action(async (execution: string, options: InputOptions, command: Command) =>
      (await programs()).runInput(settingsFor(command), execution, options, context),
    );
  add('kill', 'Send a signal to what runs in the background.', KILL)
    .argument('<execution>')
    .option('-s, --signal <name>', 'TERM (default), INT, HUP, QUIT, KILL, USR1, USR2, STOP …', 'TERM')
    .action(async (execution: string, options: KillOptions, command: Command) =>
      (await programs()).runKill(settingsFor(command), execution, options, context),
    );
}

/** Completes `glovebox exec`, which runs a command or shows a terminal. */
function addExec(exec: Command, context: CommandContext): void {
  exec
    .argument('<session>')
    .argument('[words...]')
    .option('--cwd <folder>', 'Folder to run it in, relative to the workspace.')
    .option('--timeout <time>', 'Time limit, such as 90 (seconds) or 5m.')
    .option('-e, --env <variable>', 'Environment variable to set, as NAME=VALUE. Once for each.', collect)
    .option('-d, --detach', 'Run it in the background of a server, and write its id.')
    .option('--stdin-open', 'In the background: keep its input open for glovebox input.')
    .option('-i, --interactive', 'Type into it. What is piped into the command is passed on in any case.')
    .option('-t, --tty', 'Show a terminal of the session: a shell, or the command.')
    .option('--attach <terminal>', 'Go back to a terminal that was left.')
    .passThroughOptions()
    .action(async (session: string, words: string[], options: ExecOptions, command: Command) => {
      const { tty, attach } = options;
      const asked = [session, words] as const;
      if (tty || attach !== undefined)
        await (await import('./sessions/terminal.ts')).runTerminal(settingsFor(command), asked, options, context);
      else await (await import('./sessions/changes.ts')).runExec(settingsFor(command), asked, options, context);
    });
}

/** Adds `glovebox uninstall`. @param group title of its group in the help */
export function addUninstall(program: Command, context: CommandContext, group: string): void {
  program
    .command('uninstall')
    .summary('Say what Glovebox has left here, and remove it.')
    .description(UNINSTALL)
    .helpGroup(group)
    .option('--yes', 'Remove it without asking.')
    .option('--without-engine', 'Leave the engine alone: remove state and cache only.')
    .action(async (options: UninstallOptions, command: Command) =>
      (await import('./uninstall/uninstall.ts')).runUninstall(settingsFor(command), options, context),
    );
}

const UNINSTALL = `Say what Glovebox has left on this machine and on its container engine, and remove it
once that is confirmed: containers of this state directory, images, sessions and
snapshots, keys, and downloaded packages. Nothing is removed while a server runs.`;

const PS = `List sessions, and what ran last on a server; or what was begun in the
background of a session: what runs, and the last that have ended.

  glovebox ps
  glovebox ps mine`;

const INPUT = `Pass standard input on to an execution in the background of a server, as it
comes. It was begun with stdin_open. Its input stays open without --close.

  echo yes | glovebox input exe_…
  glovebox input --close exe_… < answers.txt`;

const KILL = `Send a signal to an execution in the background of a server, and to all that it
has started. TERM asks it to end, KILL ends it.

  glovebox kill exe_…
  glovebox kill --signal INT exe_…`;

const EXEC = `Run a command in a session, or show a terminal of it.

  glovebox exec mine ls -l
  glovebox exec -d mine make               in the background: logs -f, input, kill take its id
  glovebox exec -it mine                   a shell; Ctrl-P Ctrl-Q leaves it, and it goes on
  glovebox exec -it --attach trm_… mine    back to it, with what was printed meanwhile
  glovebox exec -it mine -- top            another program`;

const CP = `Copy a file or a folder between this machine and a session.

  glovebox cp data.csv mine:            into the workspace of the session "mine"
  glovebox cp mine:out/result.csv .
  glovebox cp mine:result.csv -         to standard output`;

/** Reads the settings of a command. What goes wrong from here on is a failure of the command itself. */
function settingsFor(command: Command): Config {
  process.exitCode = OWN_FAILURE;
  return configOf(command, QUIET);
}

/** Collects the values of an option that may be given several times. */
function collect(value: string, before: readonly string[] = []): string[] {
  return [...before, value];
}
