import type { Config } from '../config/load.ts';
import { GloveboxError } from '../errors.ts';
import { addKey, isExpired, readKeys, revokeKeys, type StoredKey } from '../http/auth/key-file.ts';
import type { CommandContext } from './context.ts';

type Say = CommandContext['say'];

/** Largest value of `--expires-days`. */
const MOST_DAYS = 36_500;

/** Runs `glovebox key new`. Writes the key to stdout for scripts, and messages for people with `say`. */
export function makeKey(config: Config, name: string, days: string | undefined, say: Say): void {
  const expiresDays = readDays(days);
  const { key, stored } = addKey(config.apiKeysFile, name, expiresDays);
  process.stdout.write(`${key}\n`);
  const end = stored.expires_at ? ` until ${stored.expires_at}` : '';
  say(`This is the key ${stored.id}, valid${end} for ${name}. It is not shown again.`);
  say('Send it as "Authorization: Bearer KEY" or "X-API-Key: KEY".');
  if (config.auth !== 'keys') say('A server asks for keys if it is started with GLOVEBOX_AUTH=keys.');
}

/** Runs `glovebox key list`. */
export function listKeys(config: Config, say: Say): void {
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

/** Runs `glovebox key revoke`. */
export function revoke(config: Config, nameOrId: string, say: Say): void {
  for (const { id } of revokeKeys(config.apiKeysFile, nameOrId)) say(`Revoked ${id}.`);
}

function readDays(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const days = Number(text);
  if (/^\d+$/.test(text) && days >= 1 && days <= MOST_DAYS) return days;
  throw new GloveboxError('invalid_input', `--expires-days is ${JSON.stringify(text)}: not a number of days.`, {
    hint: `Write a whole number from 1 to ${MOST_DAYS}, or leave it out for a key that does not expire.`,
  });
}
