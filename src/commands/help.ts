import type { Command, Help } from 'commander';
import { describeFlags, describeSubjects, type SettingDescription } from '../config/describe.ts';

/** Width of the column with names of settings, in characters, with the space around it. */
const NAME_WIDTH = 37;
/** Width of the text beside the names, in characters. A line fits into a terminal of 120 characters. */
const TEXT_WIDTH = 80;

/**
 * Makes a function that writes the help of the program or of a command: usage, what it does, and its own options.
 * @param all whether to list all settings too; without it, the help fits a screen of 24 lines and 80 columns
 */
export function helpFormatter(all: boolean): (command: Command, helper: Help) => string {
  return (command, helper) => {
    const settings = new Set(['--config', ...describeFlags().map(({ flag }) => flag)]);
    const own = helper.visibleOptions(command).filter(({ long }) => !settings.has(long ?? ''));
    const options = own.map((option): Row => [option.flags, option.description]);
    const lines = [
      ...usageOf(command),
      ...gap(command),
      ...(command.description() === '' ? [] : [command.description(), '']),
      ...commandsOf(command, helper),
      // The program's own are in its usage.
      ...(command.parent ? section('Options', options) : []),
      ...(takesSettings(command) ? (all ? describeSettings() : pointToSettings(command)) : []),
    ];
    return lines.join('\n');
  };
}

/** An empty line. The program's own help has none to spare. */
function gap(command: Command): string[] {
  return command.parent ? [''] : [];
}

/** A term and what it means. */
type Row = readonly [string, string];

/** Lists the commands of a command, by their groups. */
function commandsOf(command: Command, helper: Help): string[] {
  const visible = helper.visibleCommands(command);
  const rows = visible.map((one): Row => [termOf(one), one.summary() || one.description()]);
  const width = widthOf(rows);
  const titles = [...new Set(visible.map((one) => one.helpGroup() || 'Commands:'))];
  return titles.flatMap((title, at) => {
    const members = rows.filter((_, at) => (visible[at]?.helpGroup() || 'Commands:') === title);
    // The first group of the program stands below its usage without a title: its help has no line to spare.
    const head = command.parent || at > 0 ? [title] : [];
    return [...head, ...members.map((row) => lineOf(row, width)), ...gap(command)];
  });
}

/** Returns the arguments and options of a command, such as `NAME [--expires-days N]`. */
function termOf(command: Command): string {
  const args = command.registeredArguments.map((argument) => {
    const name = `${argument.name().toUpperCase()}${argument.variadic ? '…' : ''}`;
    return argument.required ? name : `[${name}]`;
  });
  return [command.name(), ...args].join(' ');
}

function usageOf(command: Command): string[] {
  if (!command.parent) return ['Usage: glovebox [COMMAND] [OPTION…]       no command is: glovebox serve'];
  const parents = command.parent.parent ? `${command.parent.name()} ` : '';
  const own = command.commands.length > 0 ? ['COMMAND'] : [];
  const extra = command.options.filter(({ mandatory, hidden, long }) => !mandatory && !hidden && OWN.has(long ?? ''));
  const words = [
    ...(TAKES_MANY.has(command.name())
      ? [command.name(), '[OPTION…]', ...termOf(command).split(' ').slice(1)]
      : [termOf(command)]),
    ...own,
    ...extra.map(({ flags }) => `[${flags.replace(/<(.+)>/, (_, value: string) => value.toUpperCase())}]`),
    ...(TAKES_MANY.has(command.name()) ? [] : ['[--setting VALUE …]']),
  ];
  return [`Usage: glovebox ${parents}${words.join(' ')}`];
}

/** Options to show in usage lines. All settings appear there as one item. */
const OWN = new Set(['--control-plane', '--expires-days', '--owner']);
/** Commands whose options come before their arguments, because what follows belongs to a program. */
const TAKES_MANY = new Set(['run', 'exec']);

/** Whether to list the settings. Commands with subcommands leave that to them. */
function takesSettings(command: Command): boolean {
  return !command.parent || command.commands.length === 0;
}

function section(title: string, rows: readonly Row[]): string[] {
  if (rows.length === 0) return [];
  const width = widthOf(rows);
  return [`${title}:`, ...rows.map((row) => lineOf(row, width)), ''];
}

function widthOf(rows: readonly Row[]): number {
  return Math.max(0, ...rows.map(([term]) => term.length)) + 2;
}

function lineOf([term, text]: Row, width: number): string {
  return `  ${term.padEnd(width)}${text}`;
}

function pointToSettings(command: Command): string[] {
  if (command.parent) return [`Every setting is an option as well: glovebox ${command.name()} --help --all`, ''];
  return ['glovebox COMMAND --help says more. glovebox --help --all lists every setting.', ''];
}
function describeSettings(): string[] {
  return [
    'Settings, as variables, as flags (--exec-timeout-s 60), or in the JSON file that GLOVEBOX_CONFIG or --config names:',
    ...describeSubjects().flatMap(({ subject, settings }) => ['', `${subject}:`, ...settings.flatMap(describeSetting)]),
    '',
  ];
}

function describeSetting({
  variable,
  meaning,
  allowed,
  default: literal,
  computedDefault,
}: SettingDescription): string[] {
  const byDefault = literal || computedDefault;
  const facts = [allowed, byDefault && `default ${byDefault}`].filter(Boolean).join('; ');
  const [first = '', ...rest] = [...wrap(meaning), ...(facts ? wrap(facts) : [])];
  return [`  ${variable.padEnd(NAME_WIDTH - 2)}${first}`, ...rest.map((line) => ' '.repeat(NAME_WIDTH) + line)];
}

function wrap(text: string): string[] {
  const lines = [''];
  for (const word of text.split(' ')) {
    const last = lines.at(-1) ?? '';
    if (last !== '' && last.length + word.length >= TEXT_WIDTH) lines.push(word);
    else lines[lines.length - 1] = last === '' ? word : `${last} ${word}`;
  }
  return lines;
}
