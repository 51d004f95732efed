import { CommanderError } from 'commander';
import { describe, expect, it } from 'vitest';
import { toGloveboxError } from '../errors.ts';
import { createProgram } from './program.ts';
import { parseSettings } from './settings-options.ts';
import { explainUsage } from './usage-error.ts';

const CONTEXT = { say: () => {}, signal: AbortSignal.abort(), stoppedBy: () => undefined, onEnded: () => {} };

/** What the program says of a command line that it refuses, and its exit status. */
async function refusal(...words: string[]): Promise<{ text: string; exitCode: number }> {
  const program = createProgram('1.2.3', CONTEXT, words);
  try {
    await program.parseAsync(words, { from: 'user' });
  } catch (error) {
    if (error instanceof CommanderError) return explainUsage(error, words, program);
    const { message, hint } = toGloveboxError(error);
    return { text: `glovebox: ${message}\n${hint}`, exitCode: 1 };
  }
  throw new Error('it was understood');
}

/** What `--help` after these words prints. */
async function help(...words: string[]): Promise<string> {
  const program = createProgram('1.2.3', CONTEXT, words);
  let text = '';
  const write = (chunk: string) => {
    text += chunk;
  };
  const commands = [program, ...program.commands, ...program.commands.flatMap(({ commands: inner }) => inner)];
  for (const command of commands) command.configureOutput({ writeOut: write });
  await expect(program.parseAsync([...words, '--help'], { from: 'user' })).rejects.toThrow(CommanderError);
  return text;
}

describe('a command line that is not understood', () => {
  it.each([
    ['serv', '"serv" is not a command. Did you mean serve? See glovebox --help.', 2],
    ['key rewoke x', '"rewoke" is not a command. Did you mean glovebox key revoke? See glovebox key --help.', 2],
    ['key new', 'NAME is missing.\nSee glovebox key --help.', 2],
    [
      'key list alice bob',
      "Too many arguments for 'list'. Expected 0 arguments but got 2: alice, bob.\nSee glovebox key --help.",
      2,
    ],
    ['serve --memory-md 1', '--memory-md is not a setting.\nDid you mean --memory-mb?', 1],
    ['serve --memory-md', '--memory-md is not a setting.\nDid you mean --memory-mb?', 1],
    ['serve --bogus --port 1', '--bogus is not a setting.\nSee glovebox serve --help.', 1],
    ['serve --prot=1', '--prot is not a setting.\nDid you mean --port?', 1],
    ['image --controlplane', '--controlplane is not a setting.\nDid you mean --control-plane?', 1],
    ['--port 1 serve', '--port comes before the command.\nWrite it after the command: glovebox serve --port VALUE.', 1],
    ['key --port 1', '--port comes before the command.\nWrite it after the command: glovebox key new --port VALUE.', 1],
    ['serve --expires-days 3', '--expires-days is not a setting.\nSee glovebox serve --help.', 1],
    ['key new a --expires-day 3', '--expires-day is not a setting.\nDid you mean --expires-days?', 1],
    ['-x', '-x is not a setting.\nSee glovebox --help.', 1],
    ['serve --port', '--port needs a value.\nWrite it as --port VALUE.', 1],
    ['serve 8000', '"8000" is not understood here.\nSettings are given as --name VALUE; see glovebox --help.', 1],
    [
      'serve --cpus many',
      '--cpus is "many": this is not a number; it must be 0.01 to 1024.\nProcessors of one sandbox. Correct it, or leave it out for the default.',
      1,
    ],
  ])('glovebox %s', async (words, text, exitCode) => {
    expect(await refusal(...words.split(' '))).toEqual({ text: `glovebox: ${text}`, exitCode });
  });
});

describe('help', () => {
  it('of the program fits a screen of 24 lines and 80 columns, and names every command', async () => {
    const text = await help();
    const lines = text.trimEnd().split('\n');
    // A line is left for the prompt.
    expect(lines.length).toBeLessThanOrEqual(23);
    for (const line of lines) expect(line.length, line).toBeLessThanOrEqual(80);
    for (const command of createProgram('1.2.3', CONTEXT, []).commands)
      expect(text).toMatch(new RegExp(`^  ${command.name()} .*[A-Z]`, 'm'));
    for (const command of ['run', 'serve', 'image']) expect(await help(command)).not.toContain('GLOVEBOX_CPUS');
  });

  it('lists all settings by subject where it is asked for', async () => {
    for (const words of [['--all'], ['serve', '--all'], ['run', '--all']])
      expect(await help(...words)).toMatch(
        /^Sandboxes:\n(.*\n)* +GLOVEBOX_CPUS +Processors of one sandbox\.\n +0\.01 to 1024; default 1$/m,
      );
  });

  it('of a command shows its own options and arguments', async () => {
    expect(await help('image')).toMatch(/^Usage: glovebox image \[--control-plane\] \[--setting VALUE …\]\n/);
    expect(await help('key', 'new')).toMatch(/^Usage: glovebox key new NAME \[--expires-days DAYS\] /);
    expect(await help('secret', 'set')).toMatch(/^Usage: glovebox secret set NAME \[--owner NAME\] /);
    for (const name of ['new NAME', 'list', 'revoke NAME|ID']) expect(await help('key')).toContain(`  ${name}`);
  });

  it.each(['ps', 'input', 'kill'])('of %s fits 80 columns', async (command) => {
    for (const line of (await help(command)).split('\n')) expect(line.length, line).toBeLessThanOrEqual(80);
  });

  it('has no line that a terminal of 120 columns would break', async () => {
    const texts = [
      await help('--all'),
      await help('run'),
      await help('key'),
      await help('key', 'new'),
      await help('secret'),
    ];
    for (const line of texts.join('\n').split('\n')) expect(line.length, line).toBeLessThanOrEqual(120);
  });
});

describe('settings as flags', () => {
  it('are read with a space, with an equals sign, and as negative numbers; the last counts', () => {
    const flags = ['--port', '1', '--memory-mb=512', '--cpus', '-1', '--port', '2', '--config', 'a.json'];
    expect(parseSettings(flags)).toEqual({ port: '2', memory_mb: '512', cpus: '-1', config: 'a.json' });
  });
});
