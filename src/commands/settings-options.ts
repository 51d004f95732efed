import { Command, Option } from 'commander';
import { describeFlags } from '../config/describe.ts';
import { type Config, loadConfig } from '../config/load.ts';

/** Adds a flag for each setting, and `--config`, to a command without subcommands. */
export function addSettings(command: Command): Command {
  if (command.commands.length > 0) return command;
  command.addOption(new Option('--config <file>', 'JSON file of settings.'));
  for (const { flag, meaning } of describeFlags()) command.addOption(new Option(`${flag} <value>`, meaning));
  return command;
}

/** Reads the settings of a parsed command. @param defaults values for flags that are not given */
export function configOf(command: Command, defaults: Readonly<Record<string, string>> = {}): Config {
  return loadConfig(undefined, { ...defaults, ...settingsOf(command) });
}

/**
 * Reads a list of flags as `glovebox serve` does.
 * @throws CommanderError for an unknown flag, or one without a value
 */
export function parseSettings(flags: readonly string[]): Record<string, string> {
  const command = addSettings(new Command('serve').exitOverride().configureOutput({ outputError: () => {} }));
  command.action(() => {}).parse(flags, { from: 'user' });
  return settingsOf(command);
}

/** Returns the settings that are on the command line. */
export function settingsOf(command: Command): Record<string, string> {
  const names = new Map([['--config', 'config'], ...describeFlags().map(({ flag, name }) => [flag, name] as const)]);
  const found: Record<string, string> = {};
  for (const option of command.options) {
    const name = names.get(option.long ?? '');
    const value: unknown = command.getOptionValue(option.attributeName());
    if (name !== undefined && typeof value === 'string') found[name] = value;
  }
  return found;
}
