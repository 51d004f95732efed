import type { Command, Help } from 'commander';
import { describeFlags, describeSubjects, type SettingDescription } from '../config/describe.ts';

/** Width of the column with names of settings, in characters, with the space around it. */
const NAME_WIDTH = 37;
/** Width of the text beside the names, in characters. A line fits into a terminal of 120 characters. */
const TEXT_WIDTH = 80;

/** Writes the help of the program or of a command: usage, what it does, its own options, then all settings. */
export function formatHelp(command: Command, helper: Help): string {
  const settings = new Set(['--config', ...describeFlags().map(({ flag }) => flag)]);
  const own = helper.visibleOptions(command).filter(({ long }) => !settings.has(long ?? ''));
  const lines = [
    ...usageOf(command),
    '',
    ...(command.description() === '' ? [] : [command.description(), '']),
    ...section(
      'Commands',
      helper.visibleCommands(command).map((one) => [termOf(one), one.summary() || one.description()]),
    ),
    ...section(
      'Options',
      own.map((option) => [option.flags, option.description]),
    ),
    ...(takesSettings(command) ? describeSettings() : []),
  ];
  return lines.join('\n');
}

/** Returns the arguments and options of a command, such as `NAME [--expires-days N]`. */
function termOf(command: Command): string {
  const args = command.registeredArguments.map((argument) => argument.name().toUpperCase());
  return [command.name(), ...args].join(' ');
}

function usageOf(command: Command): string[] {
  if (!command.parent)
    return ['Usage: glovebox COMMAND [--setting VALUE …]', '       glovebox COMMAND --help | --version'];
  const parents = command.parent.parent ? `${command.parent.name()} ` : '';
  const own = command.commands.length > 0 ? ['COMMAND'] : [];
  const extra = command.options.filter(({ mandatory, hidden, long }) => !mandatory && !hidden && OWN.has(long ?? ''));
  const words = [
    termOf(command),
    ...own,
    ...extra.map(({ flags }) => `[${flags.replace(/<(.+)>/, (_, value: string) => value.toUpperCase())}]`),
    '[--setting VALUE …]',
  ];
  return [`Usage: glovebox ${parents}${words.join(' ')}`];
}

/** Options to show in usage lines. All settings appear there as one item. */
const OWN = new Set(['--control-plane', '--expires-days']);

/** Whether to list the settings. Commands with subcommands leave that to them. */
function takesSettings(command: Command): boolean {
  return !command.parent || command.commands.length === 0;
}

function section(title: string, rows: readonly (readonly [string, string])[]): string[] {
  if (rows.length === 0) return [];
  const width = Math.max(...rows.map(([term]) => term.length)) + 2;
  return [`${title}:`, ...rows.map(([term, text]) => `  ${term.padEnd(width)}${text}`), ''];
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
