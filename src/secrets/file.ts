import { readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { z } from 'zod';
import { GloveboxError } from '../errors.ts';
import { type Binding, bindingsSchema } from './binding.ts';
import { readKeys, type Sealed, type SecretsKey, seal, unseal } from './key.ts';
import { SECRET_NAME } from './secret-name.ts';

/** Shortest secret in characters. A shorter one would be found, and removed, where it is only a coincidence. */
export const SHORTEST = 8;
export const LONGEST = 65_536;

/** Where secrets are kept. */
export interface SecretsPlace {
  readonly stateDir: string;
  /** Their file. Default: `secrets.json` in the state directory. */
  readonly secretsFile?: string | undefined;
  /** File of the key that encrypts them. Default: `secrets.key` beside it. */
  readonly secretsKeyFile?: string | undefined;
}

/** Whose secret it is, by its name. */
export interface SecretId {
  readonly name: string;
  /** Undefined for a shared one. */
  readonly owner?: string;
}

/** A secret without its value. */
export interface SecretEntry extends SecretId {
  /** Hosts whose requests get it. */
  readonly bindings: readonly Binding[];
}

/** A secret as a file has it: encrypted, or as it is in a file of earlier releases. */
export interface StoredSecret extends SecretEntry {
  readonly value: Sealed | string;
}

export interface SecretsFile {
  /** Identifier of the key that encrypts them. Undefined if nothing is encrypted. */
  readonly keyId?: string | undefined;
  readonly secrets: readonly StoredSecret[];
}

const base64 = z.base64();
const sealedSchema = z.strictObject({
  name: z.string().regex(SECRET_NAME),
  owner: z.string().optional(),
  bindings: bindingsSchema.default([]),
  nonce: base64,
  sealed: base64,
});
const currentSchema = z
  .strictObject({ version: z.literal(2), key: z.string().optional(), secrets: z.array(sealedSchema) })
  .transform(({ key, secrets }): SecretsFile => ({ keyId: key, secrets: secrets.map(fromSealed) }));

const values = z.record(z.string().regex(SECRET_NAME), z.string().min(SHORTEST).max(LONGEST));
/** Form of files of earlier releases, which encrypt nothing. */
const plainSchema = z
  .strictObject({ shared: values.default({}), owners: z.record(z.string(), values).default({}) })
  .transform(({ shared, owners }): SecretsFile => {
    const own = Object.entries(owners).flatMap(([owner, some]) => Object.entries(some).map(toPlain(owner)));
    return { secrets: [...Object.entries(shared).map(toPlain()), ...own] };
  });

function fromSealed({ name, owner, bindings, ...value }: z.infer<typeof sealedSchema>): StoredSecret {
  return { name, ...(owner === undefined ? {} : { owner }), bindings, value };
}

function toPlain(owner?: string) {
  return ([name, value]: readonly [string, string]): StoredSecret => ({
    ...{ name, ...(owner === undefined ? {} : { owner }), bindings: [], value },
  });
}

/** Path of the file of the secrets. */
export function secretsPath({ stateDir, secretsFile }: SecretsPlace): string {
  return secretsFile === undefined ? join(stateDir, 'secrets.json') : resolve(secretsFile);
}

/** Path of the file of the key that encrypts them. */
export function keyPath(place: SecretsPlace): string {
  return resolve(place.secretsKeyFile ?? join(dirname(secretsPath(place)), 'secrets.key'));
}

/** Reads the secrets; none if there is no file. @throws GloveboxError `invalid_input` that shows nothing of its content */
export function readSecrets(place: SecretsPlace): SecretsFile {
  const path = secretsPath(place);
  let parsed: unknown;
  try {
    parsed = JSON.parse(readFileSync(path, 'utf8'));
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === 'ENOENT') return { secrets: [] };
    // What JSON.parse says quotes the text.
    throw unusable(path, code === undefined ? 'it is not JSON' : code);
  }
  const version = typeof parsed === 'object' && parsed !== null && 'version' in parsed ? parsed.version : undefined;
  if (version !== undefined && version !== 2) throw unusable(path, 'another release of Glovebox has written it');
  const checked = (version === undefined ? plainSchema : currentSchema).safeParse(parsed);
  if (checked.success) return checked.data;
  const where = checked.error.issues[0]?.path.join('.') ?? '';
  throw unusable(path, `it is wrong at ${JSON.stringify(where.slice(0, 128))}`);
}

/** The text of a file. */
export function formatSecrets({ keyId, secrets }: SecretsFile): string {
  const sealed = secrets.map(({ value, ...entry }) => {
    if (typeof value === 'string') throw new Error('a secret is to be written as it is');
    return { ...entry, ...value };
  });
  const content = { version: 2, ...(sealed.length > 0 ? { key: keyId } : {}), secrets: sealed };
  return `${JSON.stringify(content, null, 2)}\n`;
}

/** Encrypts a secret, together with its name, owner and hosts. */
export function sealSecret(key: SecretsKey, entry: SecretEntry, value: string): StoredSecret {
  return { ...entry, value: seal(key, value, aboutOf(entry)) };
}

/** The value of a secret. @throws GloveboxError `invalid_input` if it cannot be decrypted */
export function openSecret(place: SecretsPlace, key: SecretsKey | undefined, secret: StoredSecret): string {
  if (typeof secret.value === 'string') return secret.value;
  const value = key && unseal(key, secret.value, aboutOf(secret));
  if (value !== undefined) return value;
  throw unusable(secretsPath(place), `the secret ${secret.name} was changed by something other than Glovebox`);
}

/**
 * The key of a file of secrets.
 * @throws GloveboxError `invalid_input` if it is lost, or another one
 */
export function keyOf(place: SecretsPlace, { keyId }: SecretsFile): SecretsKey {
  const path = keyPath(place);
  const keys = attemptKey(path, () => readKeys(path));
  const key = keys.find(({ id }) => id === keyId);
  if (key) return key;
  const reason = keys.length > 0 ? `${path} holds another key` : `${path}, their key, is not there`;
  throw new GloveboxError('invalid_input', `The secrets in ${secretsPath(place)} cannot be decrypted: ${reason}.`, {
    hint: 'Bring the key back, or set GLOVEBOX_SECRETS_KEY_FILE to it. If it is lost, remove each secret (glovebox secret list, glovebox secret remove NAME) and set it anew.',
  });
}

/** Does work with a key. @throws GloveboxError `invalid_input` if the key cannot be used */
export function attemptKey<T>(path: string, work: () => T): T {
  try {
    return work();
  } catch (thrown) {
    const { code, message } = thrown as NodeJS.ErrnoException;
    throw new GloveboxError('invalid_input', `The key of secrets in ${path} cannot be used: ${code ?? message}.`, {
      hint: 'Run as the owner of the file, or set GLOVEBOX_SECRETS_KEY_FILE to a file with 32 random bytes in base64.',
    });
  }
}

/** Error of a file of secrets that cannot be used. */
export function unusable(path: string, reason: string): GloveboxError {
  return new GloveboxError('invalid_input', `The secrets in ${path} cannot be used: ${reason}.`, {
    hint: 'Run as the owner of the file. If it is damaged, move it away and set the secrets anew: glovebox secret set NAME',
  });
}

function aboutOf({ name, owner, bindings }: SecretEntry): string {
  return JSON.stringify([name, owner ?? null, bindings]);
}
