import { type Config, loadConfig } from '../config/load.ts';
import { GloveboxError } from '../errors.ts';
import { addKey, isExpired, readKeys, revokeKeys, type StoredKey } from '../http/auth/key-file.ts';
import { nearest } from '../lib/nearest.ts';

type Say = (line: string) => void;

/** What is said on the command line besides settings. */
interface Asked {
  readonly config: Config;
  /** Names and ids. */
  readonly words: readonly string[];
  readonly expiresDays: number | undefined;
}

const ACTIONS: Record<string, { usage: string; summary: string; words: number; run(asked: Asked, say: Say): void }> = {
  new: {
    usage: 'new NAME [--expires-days N]',
    summary: 'Make a key for an owner, besides those that the owner has, and print it: once, it is kept nowhere.',
    words: 1,
    run: makeKey,
  },
  list: { usage: 'list', summary: 'All keys: id, name, when made, when they end.', words: 0, run: listKeys },
  revoke: {
    usage: 'revoke NAME|ID',
    summary: 'Take away one key, or all of an owner. A running server refuses them within a second.',
    words: 1,
    run: revoke,
  },
};

const EXPIRES = '--expires-days';
const MOST_DAYS = 36_500;

export function keyHelp(): string {
  const actions = Object.values(ACTIONS).flatMap(({ usage, summary }) => [
    `  glovebox key ${usage}`,
    `      ${summary}`,
  ]);
  return [
    'Usage:',
    ...actions,
    '',
    "A key's name is the owner of the sessions that are made with it. Owners see nothing of each other.",
    'Callers send a key as "Authorization: Bearer KEY" or "X-API-Key: KEY" to a server with GLOVEBOX_AUTH=keys.',
    '--api-keys-file FILE, or --state-dir DIR, says where the keys are if not in the usual place.',
    '',
  ].join('\n');
}

/** `glovebox key …`: what scripts want goes to stdout, what people want to `say`. The exit code: 2 for a wrong usage. */
export function runKey([name = '', ...args]: readonly string[], say: Say): number {
  const action = Object.hasOwn(ACTIONS, name) ? ACTIONS[name] : undefined;
  if (!action) {
    const meant = nearest(name, Object.keys(ACTIONS));
    say(`glovebox key: ${name === '' ? 'say what to do.' : `"${name}" is not understood.`}`);
    say(meant ? `Did you mean glovebox key ${meant}?` : 'Say new, list or revoke; see glovebox key --help.');
    return 2;
  }
  const asked = readArguments(args);
  if (asked.words.length !== action.words || (asked.expiresDays !== undefined && name !== 'new')) {
    say(`Usage: glovebox key ${action.usage}`);
    return 2;
  }
  action.run(asked, say);
  return 0;
}

function makeKey({ config, words: [name = ''], expiresDays }: Asked, say: Say): void {
  const { key, stored } = addKey(config.apiKeysFile, name, expiresDays);
  process.stdout.write(`${key}\n`);
  const end = stored.expires_at ? ` until ${stored.expires_at}` : '';
  say(`This is the key ${stored.id}, valid${end} for ${name}. It is not shown again.`);
  say('Send it as "Authorization: Bearer KEY" or "X-API-Key: KEY".');
  if (config.auth !== 'keys') say('A server asks for keys if it is started with GLOVEBOX_AUTH=keys.');
}

function listKeys({ config }: Asked, say: Say): void {
  const keys = readKeys(config.apiKeysFile);
  if (keys.length === 0) {
    say(`There are no keys in ${config.apiKeysFile}. Make one with: glovebox key new <name>`);
    return;
  }
  const rows = [['ID', 'NAME', 'CREATED', 'EXPIRES'], ...keys.map(describeKey)];
  const widths = [0, 1, 2].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const lines = rows.map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  '));
  process.stdout.write(`${lines.join('\n')}\n`);
}

function describeKey(key: StoredKey): string[] {
  const end = key.expires_at ?? 'never';
  return [key.id, key.name, key.created_at, isExpired(key) ? `${end} (expired)` : end];
}

function revoke({ config, words: [nameOrId = ''] }: Asked, say: Say): void {
  for (const { id } of revokeKeys(config.apiKeysFile, nameOrId)) say(`Revoked ${id}.`);
}

/** Tells words from settings, which are the configuration's to understand. */
function readArguments(args: readonly string[]): Asked {
  const words: string[] = [];
  const settings: string[] = [];
  let days: string | undefined;
  const remaining = [...args];
  for (let argument = remaining.shift(); argument !== undefined; argument = remaining.shift()) {
    if (!argument.startsWith('--')) words.push(argument);
    else if (argument === EXPIRES) days = remaining.shift() ?? '';
    else if (argument.startsWith(`${EXPIRES}=`)) days = argument.slice(EXPIRES.length + 1);
    else settings.push(argument, ...(argument.includes('=') ? [] : remaining.splice(0, 1)));
  }
  return { words, expiresDays: readDays(days), config: loadConfig(undefined, settings) };
}

function readDays(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const days = Number(text);
  if (/^\d+$/.test(text) && days >= 1 && days <= MOST_DAYS) return days;
  throw new GloveboxError('invalid_input', `${EXPIRES} is ${JSON.stringify(text)}: not a number of days.`, {
    hint: `Say a whole number from 1 to ${MOST_DAYS}, or leave it out for a key that does not expire.`,
  });
}
