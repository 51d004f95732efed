import type { Command, CommanderError } from 'commander';
import { describeFlags } from '../config/describe.ts';
import { GloveboxError } from '../errors.ts';
import { nearest } from '../lib/nearest.ts';

/** Message and exit status for an invalid command line. */
export interface UsageProblem {
  /** Text to print. Empty if commander has printed it. */
  readonly text: string;
  readonly exitCode: number;
}

/** Exit status for a missing or unknown command or argument. */
const WRONG_USAGE = 2;

/**
 * Describes an error of commander in our words, with the nearest name and the next step.
 * @param words command line of `program`
 */
export function explainUsage(error: CommanderError, words: readonly string[], program: Command): UsageProblem {
  const [, quoted = ''] = /'([^']*)'/.exec(error.message) ?? [];
  switch (error.code) {
    case 'commander.unknownCommand':
      return { text: unknownCommand(quoted, words, program), exitCode: WRONG_USAGE };
    case 'commander.unknownOption':
      return { text: unknownOption(quoted, words, program), exitCode: 1 };
    case 'commander.optionMissingArgument': {
      const [flag = ''] = quoted.split(' ');
      return { text: `glovebox: ${flag} needs a value.\nWrite it as ${flag} VALUE.`, exitCode: 1 };
    }
    case 'commander.missingArgument':
      return {
        text: `glovebox: ${quoted.toUpperCase()} is missing.\n${seeHelp(words, program)}`,
        exitCode: WRONG_USAGE,
      };
    case 'commander.excessArguments':
      return { text: `glovebox: ${sentence(error)}\n${seeHelp(words, program)}`, exitCode: WRONG_USAGE };
    case 'commander.help':
      return { text: '', exitCode: error.exitCode === 0 ? 0 : WRONG_USAGE };
    default:
      return { text: '', exitCode: error.exitCode };
  }
}

/** Returns commander's own message as a sentence. */
function sentence({ message }: CommanderError): string {
  const text = message.replace(/^error: /, '');
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** Checks flags. @throws GloveboxError for a word in the place of a flag */
export function refuseExtra(words: readonly string[]): void {
  if (words.length === 0) return;
  throw new GloveboxError('invalid_input', `"${words[0]}" is not understood here.`, {
    hint: 'Settings are given as --name VALUE; see glovebox --help.',
  });
}

function unknownCommand(name: string, words: readonly string[], program: Command): string {
  const parent = program.commands.find((command) => command.name() === words[0]);
  const meant = nearest(name, nameAll(parent ?? program));
  const path = parent ? `glovebox ${parent.name()}` : 'glovebox';
  const hint = meant ? ` Did you mean ${parent ? `${path} ${meant}` : meant}?` : '';
  return `glovebox: "${name}" is not a command.${hint} See ${path} --help.`;
}

function unknownOption(written: string, words: readonly string[], program: Command): string {
  const [flag = ''] = written.split('=');
  const settings = describeFlags().map((setting) => setting.flag);
  const command = commandOf(words, program);
  if (settings.includes(flag) && (command === program || command.commands.length > 0)) {
    const example =
      command === program ? 'glovebox serve' : `glovebox ${command.name()} ${command.commands[0]?.name()}`;
    return `glovebox: ${flag} comes before the command.\nWrite it after the command: ${example} ${flag} VALUE.`;
  }
  const own = command.options.flatMap(({ long }) => long ?? []);
  const meant = nearest(flag, command.commands.length > 0 ? own : [...own, ...settings]);
  return `glovebox: ${flag} is not a setting.\n${meant ? `Did you mean ${meant}?` : seeHelp(words, program)}`;
}

/** Returns the command that a command line names, as far as possible. */
function commandOf(words: readonly string[], program: Command): Command {
  let found = program;
  for (const word of words) {
    const next = found.commands.find((command) => command.name() === word);
    if (!next) break;
    found = next;
  }
  return found;
}

function seeHelp([command = '']: readonly string[], program: Command): string {
  return `See glovebox ${nameAll(program).includes(command) ? `${command} ` : ''}--help.`;
}

function nameAll({ commands }: Command): string[] {
  return commands.map((command) => command.name());
}
