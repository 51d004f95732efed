import { text as readAll } from 'node:stream/consumers';
import type { Config } from '../config/load.ts';
import { GloveboxError } from '../errors.ts';
import { readKeys } from '../http/auth/key-file.ts';
import { nearest } from '../lib/nearest.ts';
import { type Binding, hostOf, readBindings, targetOf } from '../secrets/binding.ts';
import { changeKey, listSecrets, removeSecret, requireChangeable, setSecret } from '../secrets/changes.ts';
import { keyPath, type SecretId, secretsPath } from '../secrets/file.ts';
import type { CommandContext } from './context.ts';
import { formatTable } from './sessions/table.ts';

type Say = CommandContext['say'];

/** Shortest secret that is sent in requests of code without a warning, in characters. */
const LONG_ENOUGH = 16;

/** Options of `glovebox secret set`. */
export interface SetOptions {
  readonly for?: readonly string[];
  readonly header?: readonly string[];
  readonly query?: readonly string[];
  readonly basic?: readonly string[];
}

/** Runs `glovebox secret set`. The value comes from stdin, so that no list of processes and no history of a shell has it. */
export async function storeSecret(config: Config, id: SecretId, asked: SetOptions, say: Say): Promise<void> {
  const { for: hosts, header: headers = [], query: queries = [], basic: users = [] } = asked;
  const bindings = readBindings({ hosts: hosts ?? [], headers, queries, users });
  requireChangeable(config);
  if (process.stdin.isTTY) say(`Type the value of ${id.name}, then Enter and Ctrl-D. It is shown while you type.`);
  const value = (await readAll(process.stdin)).replace(/\r?\n$/, '');
  const entry = setSecret(config, id, value, hosts && bindings);
  say(`Stored the secret ${id.name}${whose(id)}. A running server uses it from the next request on.`);
  if (config.state === 'cluster' && config.secretsFile === undefined)
    say(
      `Other servers of this service do not know it: it is in ${secretsPath(config)} alone. Give all of them one file with GLOVEBOX_SECRETS_FILE; in the Helm chart, that is secrets.existingSecret.`,
    );
  for (const binding of entry.bindings) say(explain(binding, id));
  if (entry.bindings.length > 0 && value.length < LONG_ENOUGH)
    say(`It has fewer than ${LONG_ENOUGH} characters: code that may send requests could find it by trying.`);
  warnOfUnknownOwner(config, id, say);
}

/** Runs `glovebox secret list`. Names only. */
export function showSecrets(config: Config, say: Say): void {
  const secrets = listSecrets(config);
  if (secrets.length === 0) {
    say(`There are no secrets in ${secretsPath(config)}. Make one with: glovebox secret set <name>`);
    return;
  }
  const rows = secrets.map(({ name, owner = '(shared)', bindings }) => [
    name,
    owner,
    bindings.map(describe).join(', '),
  ]);
  // Releases before this one had two columns.
  const columns = rows.some(([, , hosts]) => hosts !== '') ? 3 : 2;
  process.stdout.write(
    formatTable(
      ['NAME', 'OWNER', 'SENT TO'].slice(0, columns),
      rows.map((row) => row.slice(0, columns)),
    ),
  );
}

/** Runs `glovebox secret remove`. */
export function dropSecret(config: Config, id: SecretId, say: Say): void {
  removeSecret(config, id);
  say(`Removed the secret ${id.name}${whose(id)}.`);
}

/** Runs `glovebox secret rekey`. */
export function rekeySecrets(config: Config, say: Say): void {
  const { secrets, isOldGone } = changeKey(config);
  say(`Encrypted ${secrets} ${secrets === 1 ? 'secret' : 'secrets'} with a new key. Keep it in place of the old one.`);
  if (!isOldGone) say(`The old key is still in ${keyPath(config)}: remove all lines but the last.`);
}

function describe(binding: Binding): string {
  return `${binding.to.replace(/^https:\/\//, '')} (${targetOf(binding)})`;
}

function explain(binding: Binding, { owner }: SecretId): string {
  const { address, isPlain } = hostOf(binding);
  const who = owner === undefined ? 'code' : `code of ${owner}`;
  const way = isPlain ? 'without TLS, for all on the way to read' : 'by TLS';
  return `Requests of ${who} to ${address} get it (${targetOf(binding)}), and go out ${way}.`;
}

function whose({ owner }: SecretId): string {
  return owner === undefined ? '' : ` of ${owner}`;
}

/** An owner is the name of a key. One that has no key yet may get one later. */
function warnOfUnknownOwner({ apiKeysFile }: Config, { owner }: SecretId, say: Say): void {
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
