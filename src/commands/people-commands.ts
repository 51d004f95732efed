import type { Command } from 'commander';
import type { CommandContext } from './context.ts';
import { OWN_FAILURE } from './run/exit-status.ts';
import type { RunOptions } from './run/run.ts';
import { configOf } from './settings-options.ts';

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
  add('run', 'Run a Python program, or -c CODE, and show its output.')
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
    .option(...LOCAL)
    .passThroughOptions()
    .action(async (file: string | undefined, args: string[], options: RunOptions, command: Command) => {
      process.exitCode = OWN_FAILURE;
      const words = file === undefined ? args : [file, ...args];
      await (await import('./run/run.ts')).runRun(configOf(command, QUIET), words, options, context);
    });
}

/** Collects the values of an option that may be given several times. */
function collect(value: string, before: readonly string[] = []): string[] {
  return [...before, value];
}
