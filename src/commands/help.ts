import type { Command, Help } from 'commander';
import { describeFlags, describeSubjects, type SettingDescription } from '../config/describe.ts';

/** Columns that names of settings take, with the space before and after. */
const NAME_WIDTH = 37;
/** Columns of the text beside the names, so that a usual terminal of 120 shows a line whole. */
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

/** What stands after the name of a command: its arguments and options, as `NAME [--expires-days N]`. */
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

/** Options that usage lines show; the settings are one item there. */
const OWN = new Set(['--control-plane', '--expires-days']);

/** Commands that have commands of their own leave the settings to those. */
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
