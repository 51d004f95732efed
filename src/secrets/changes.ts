import { accessSync, constants, existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { GloveboxError } from '../errors.ts';
import { withFileLock } from '../lib/file-lock.ts';
import { nearest } from '../lib/nearest.ts';
import { replaceFile, targetOfLink } from '../lib/replace-file.ts';
import { type Binding, hostOf, LONGEST_SENT, placeOf, targetOf } from './binding.ts';
import {
  attemptKey,
  formatSecrets,
  keyOf,
  keyPath,
  LONGEST,
  openSecret,
  readSecrets,
  type SecretEntry,
  type SecretId,
  type SecretsFile,
  type SecretsPlace,
  SHORTEST,
  type StoredSecret,
  sealSecret,
  secretsPath,
  unusable,
} from './file.ts';
import { flushDirectory, makeKey, readKeys, readOrMakeKey, type SecretsKey, writeKeys } from './key.ts';
import { SECRET_NAME } from './secret-name.ts';

/**
 * Stores a secret, or replaces its value.
 * @param bindings hosts whose requests get it; by default those that it has already
 * @returns the secret as it is now
 * @throws GloveboxError `invalid_input` that does not show the value
 */
export function setSecret(
  place: SecretsPlace,
  id: SecretId,
  value: string,
  bindings?: readonly Binding[],
): SecretEntry {
  checkName(id.name);
  const fault = faultOfValue(value);
  if (fault) throw new GloveboxError('invalid_input', `The value of ${id.name} ${fault[0]}.`, { hint: fault[1] });
  return change(place, (file) => {
    const before = file.secrets.find((secret) => isSame(secret, id));
    const others = file.secrets.filter((secret) => secret !== before);
    const entry = { ...idOf(id), bindings: [...(bindings ?? before?.bindings ?? [])] };
    checkBindings(entry, value, others);
    const key = writableKey(place, file);
    const sealed = sealSecret(key, entry, value);
    const secrets = before
      ? file.secrets.map((secret) => (secret === before ? sealed : secret))
      : [...file.secrets, sealed];
    return { file: encrypted({ keyId: key.id, secrets }, key), result: entry };
  });
}

/** Lists the secrets, without values: shared ones first. */
export function listSecrets(place: SecretsPlace): SecretEntry[] {
  const entries = readSecrets(place).secrets.map(({ value: _value, ...entry }) => entry);
  return [...entries.filter(({ owner }) => owner === undefined), ...entries.filter(({ owner }) => owner !== undefined)];
}

/** Removes a secret, for which its key is not needed. @throws GloveboxError `not_found` with the nearest name */
export function removeSecret(place: SecretsPlace, id: SecretId): void {
  change(place, (file) => {
    const secrets = file.secrets.filter((secret) => !isSame(secret, id));
    if (secrets.length === file.secrets.length) throw unknownSecret(id, file.secrets);
    const left = { ...file, secrets };
    return { file: isPlain(left) ? encryptedAnew(place, left) : left, result: undefined };
  });
}

/** Encrypts the file of an earlier release. Whether there was one. @throws GloveboxError `invalid_input` */
export function encryptSecrets(place: SecretsPlace): boolean {
  if (!isPlain(readSecrets(place))) return false;
  return change(place, (file) => ({ file: isPlain(file) ? encryptedAnew(place, file) : file, result: isPlain(file) }));
}

/**
 * Changes the key that encrypts all secrets. While it works, the file of the key has both keys, so that the secrets can be
 * read at each moment, also if it is killed; then the next call goes on with the key that this one has made.
 * @returns whether the old key is gone from its file: not if that cannot be written, as it comes from elsewhere
 * @throws GloveboxError `invalid_input`: then the secrets are as before
 */
export function changeKey(place: SecretsPlace): { readonly secrets: number; readonly isOldGone: boolean } {
  let isOldGone = true;
  const work = (file: SecretsFile) => {
    const old = isEncrypted(file) ? keyOf(place, file) : undefined;
    // Before the new key is made: what cannot be decrypted leaves everything as it is.
    const opened = file.secrets.map(
      ({ value, ...entry }) => [entry, openSecret(place, old, { ...entry, value })] as const,
    );
    const key = nextKey(place, old);
    const secrets = opened.map(([entry, value]) => sealSecret(key, entry, value));
    return { file: { keyId: key.id, secrets }, result: { key, secrets: secrets.length } };
  };
  const { secrets } = change(place, work, ({ key }) => {
    flushDirectory(dirname(secretsPath(place)));
    try {
      writeKeys(keyPath(place), [key]);
    } catch {
      isOldGone = false;
    }
  });
  return { secrets, isOldGone };
}

/** The key to change to: the last in its file if that is not in use yet, or else a new one, which is added to the file. */
function nextKey(place: SecretsPlace, current: SecretsKey | undefined): SecretsKey {
  const path = keyPath(place);
  const known = attemptKey(path, () => readKeys(path)).at(-1);
  if (known && current && known.id !== current.id) return known;
  const made = makeKey();
  try {
    writeKeys(path, current ? [current, made] : [made]);
  } catch (thrown) {
    const { code, message } = thrown as NodeJS.ErrnoException;
    throw new GloveboxError('invalid_input', `The key of secrets in ${path} cannot be written: ${code ?? message}.`, {
      hint: 'Add the new key to it where it comes from, as a second line, and run this again. Then remove the first line.',
    });
  }
  return made;
}

function isEncrypted({ secrets }: SecretsFile): boolean {
  return secrets.some(({ value }) => typeof value !== 'string');
}

function isPlain({ secrets }: SecretsFile): boolean {
  return secrets.some(({ value }) => typeof value === 'string');
}

function encryptedAnew(place: SecretsPlace, file: SecretsFile): SecretsFile {
  const key = writableKey(place, file);
  return encrypted({ ...file, keyId: key.id }, key);
}

function encrypted({ secrets, ...file }: SecretsFile, key: SecretsKey): SecretsFile {
  const seal = ({ value, ...secret }: StoredSecret) =>
    typeof value === 'string' ? sealSecret(key, secret, value) : { ...secret, value };
  return { ...file, secrets: secrets.map(seal) };
}

/** The key of a file. One that has encrypted nothing yet may get a new one. */
function writableKey(place: SecretsPlace, file: SecretsFile): SecretsKey {
  if (isEncrypted(file)) return keyOf(place, file);
  const path = keyPath(place);
  return attemptKey(path, () => readOrMakeKey(path));
}

/**
 * Changes the file under a lock for all processes. Readers see the file before or after the change.
 * @param afterwards called under the lock, once the file is changed
 */
function change<T>(
  place: SecretsPlace,
  work: (file: SecretsFile) => { file: SecretsFile; result: T },
  afterwards: (result: T) => void = () => {},
): T {
  requireChangeable(place);
  const path = secretsPath(place);
  try {
    return withFileLock(path, () => {
      const { file, result } = work(readSecrets(place));
      replaceFile(targetOfLink(path), formatSecrets(file), { flush: true, mode: 0o600 });
      afterwards(result);
      return result;
    });
  } catch (thrown) {
    if (thrown instanceof GloveboxError) throw thrown;
    throw unusable(path, (thrown as NodeJS.ErrnoException).code ?? 'it cannot be written');
  }
}

/** What to change in place of a file that cannot be changed where it is. */
const THE_SOURCE =
  'the file where it comes from. For a Secret of Kubernetes, run this on your machine, with GLOVEBOX_SECRETS_FILE and GLOVEBOX_SECRETS_KEY_FILE set to the files that it was made of, and apply it anew (docs/kubernetes.md#secrets).';

/**
 * Finds out whether the file of secrets can be changed: one that is mounted, as a Secret of a cluster is, cannot.
 * @throws GloveboxError `invalid_input` that says where it can be
 */
export function requireChangeable(place: SecretsPlace): void {
  const path = secretsPath(place);
  // Beside a link there is the lock, and beside its target the new file.
  for (const folder of new Set([dirname(path), dirname(targetOfLink(path))].filter(existsSync))) {
    try {
      accessSync(folder, constants.W_OK);
    } catch (thrown) {
      const isReadOnly = (thrown as NodeJS.ErrnoException).code === 'EROFS';
      const why = isReadOnly ? 'they are mounted read-only' : `this user may not write to ${folder}`;
      const hint = isReadOnly ? `Change ${THE_SOURCE}` : `Run as the owner of that folder, or change ${THE_SOURCE}`;
      throw new GloveboxError('invalid_input', `The secrets in ${path} cannot be changed here: ${why}.`, { hint });
    }
  }
}

function faultOfValue(value: string): [said: string, hint: string] | undefined {
  if (value.length < SHORTEST)
    return [`has fewer than ${SHORTEST} characters`, 'So short a value cannot be told from other text in results.'];
  if (value.length > LONGEST) return [`has more than ${LONGEST} characters`, 'Pipe only the secret itself to stdin.'];
  // What is not UTF-8 comes as this character.
  if (!value.isWellFormed() || value.includes('\ufffd'))
    return ['has bytes that are no text', 'Pipe it to stdin in UTF-8.'];
  // Servers leave it out, and their echoes would not be found.
  if (value.trim() !== value) return ['begins or ends with a blank', 'Pipe only the secret itself to stdin.'];
  // It goes into a header or a variable of the environment.
  if (/\p{Cc}/u.test(value)) return ['has more than one line, or a control character', 'Pipe one line to stdin.'];
  return undefined;
}

function checkBindings({ name, owner, bindings }: SecretEntry, value: string, others: readonly StoredSecret[]): void {
  const refuse = (said: string, hint: string) => {
    throw new GloveboxError('invalid_input', said, { hint });
  };
  if (bindings.length > 0 && value.length > LONGEST_SENT)
    refuse(`The value of ${name} has more than ${LONGEST_SENT} characters.`, 'No server takes so long a header.');
  if (bindings.some((binding) => 'header' in binding) && /[^\x20-\x7e]/.test(value))
    refuse(`The value of ${name} has characters that a header cannot have.`, 'Encode it as the server asks for it.');
  const slots = new Map(bindings.flatMap(slotsOf).map((slot) => [slot.key, slot.said]));
  for (const other of others.filter((secret) => secret.owner === owner)) {
    const taken = other.bindings.flatMap(slotsOf).find(({ key }) => slots.has(key));
    if (taken)
      refuse(
        `${taken.said} is the secret ${other.name} already.`,
        `Remove that first: glovebox secret remove ${other.name}`,
      );
  }
}

/** What a binding fills, for each port that code may write. */
function slotsOf(binding: Binding): { key: string; said: string }[] {
  const { host, ports } = hostOf(binding);
  return ports.map((port) => ({
    key: JSON.stringify([host, port, placeOf(binding)]),
    said: `${targetOf(binding)} of ${host}`,
  }));
}

function checkName(name: string): void {
  if (SECRET_NAME.test(name)) return;
  throw new GloveboxError('invalid_input', `${JSON.stringify(name.slice(0, 64))} is no name for a secret.`, {
    hint: 'Use up to 64 letters, digits and "_", not beginning with a digit. The value goes to stdin.',
  });
}

function isSame(a: SecretId, b: SecretId): boolean {
  return a.name === b.name && a.owner === b.owner;
}

function idOf({ name, owner }: SecretId): SecretId {
  return { name, ...(owner === undefined ? {} : { owner }) };
}

function unknownSecret({ name, owner }: SecretId, secrets: readonly SecretId[]): GloveboxError {
  const near = nearest(
    name,
    secrets.filter((secret) => secret.owner === owner).map((secret) => secret.name),
  );
  const whose = owner === undefined ? 'shared' : `of ${owner}`;
  return new GloveboxError('not_found', `There is no secret ${JSON.stringify(name.slice(0, 64))} (${whose}).`, {
    hint: `${near ? `Did you mean ${near}? ` : ''}See: glovebox secret list`,
  });
}
