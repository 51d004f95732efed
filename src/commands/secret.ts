import { text as readAll } from 'node:stream/consumers';
import { listSecrets, removeSecret, type SecretEntry, secretsPath, setSecret } from '../broker/secrets/secrets.ts';
import type { Config } from '../config/load.ts';
import { GloveboxError } from '../errors.ts';
import { readKeys } from '../http/auth/key-file.ts';
import { nearest } from '../lib/nearest.ts';
import type { CommandContext } from './context.ts';

type Say = CommandContext['say'];

/** Runs `glovebox secret set`. The value comes from stdin, so that no list of processes and no history of a shell has it. */
export async function storeSecret(config: Config, entry: SecretEntry, say: Say): Promise<void> {
  if (process.stdin.isTTY) say(`Type the value of ${entry.name}, then Enter and Ctrl-D. It is shown while you type.`);
  const value = (await readAll(process.stdin)).replace(/\r?\n$/, '');
  setSecret(config.stateDir, entry, value);
  say(`Stored the secret ${entry.name}${whose(entry)}. A running server uses it within a second.`);
  warnOfUnknownOwner(config, entry, say);
}

/** Runs `glovebox secret list`. Names only. */
export function showSecrets(config: Config, say: Say): void {
  const secrets = listSecrets(config.stateDir);
  if (secrets.length === 0) {
    say(`There are no secrets in ${secretsPath(config.stateDir)}. Make one with: glovebox secret set <name>`);
    return;
  }
  const width = Math.max(...secrets.map(({ name }) => name.length), 4);
  const lines = secrets.map(({ name, owner = '(shared)' }) => `${name.padEnd(width)}  ${owner}`);
  process.stdout.write(`${['NAME'.padEnd(width).concat('  OWNER'), ...lines].join('\n')}\n`);
}

/** Runs `glovebox secret remove`. */
export function dropSecret(config: Config, entry: SecretEntry, say: Say): void {
  removeSecret(config.stateDir, entry);
  say(`Removed the secret ${entry.name}${whose(entry)}.`);
}

function whose({ owner }: SecretEntry): string {
  return owner === undefined ? '' : ` of ${owner}`;
}

/** An owner is the name of a key. One that has no key yet may get one later. */
function warnOfUnknownOwner({ apiKeysFile }: Config, { owner }: SecretEntry, say: Say): void {
  if (owner === undefined) return;
  const names = readKeyNames(apiKeysFile);
  if (names.includes(owner)) return;
  const meant = nearest(owner, names);
  say(`There is no key of ${owner}.${meant ? ` Did you mean ${meant}?` : ''} See: glovebox key list`);
}

function readKeyNames(path: string): string[] {
  try {
    return readKeys(path).map(({ name }) => name);
  } catch (error) {
    if (error instanceof GloveboxError) return [];
    throw error;
  }
}
