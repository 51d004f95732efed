import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { isPattern } from '../../egress/policy/pattern.ts';
import { GloveboxError } from '../../errors.ts';
import { withFileLock } from '../../lib/file-lock.ts';
import { nearest } from '../../lib/nearest.ts';
import { replaceFile, targetOfLink } from '../../lib/replace-file.ts';
import { LOCAL_OWNER } from '../../sessions/caller.ts';

/** Pattern of a key's name, which is its owner. It has no dot, unlike the id of a key. */
const NAME = /^[A-Za-z0-9_][A-Za-z0-9_-]{0,63}$/;
/** Prefix of keys, by which people and secret scanners recognise them. */
const PREFIX = 'gbk_';
const DAY_MS = 86_400_000;

/**
 * Form of a key. It is strict, so that a misspelled `expires_at` does not make a key that never expires. `web`: patterns that
 * narrow what code of its owner may reach; those of all of an owner's keys do.
 */
const keySchema = z.strictObject({
  id: z.string().regex(/^[A-Za-z0-9_-]{1,64}\.[0-9a-f]{8}$/),
  name: z.string().regex(NAME),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  created_at: z.iso.datetime(),
  expires_at: z.iso.datetime().optional(),
  web: z.array(z.string().max(300).refine(isPattern, 'not a host that code may reach')).max(100).optional(),
});

/** Form of a key that may answer questions. `for`: the owner whose questions; everybody's by default. */
const approvingKeySchema = keySchema.extend({ for: z.string().regex(NAME).optional() });

/** A key of a file. Several keys may have the same name, which is their owner. */
export type StoredKey = z.infer<typeof approvingKeySchema>;

/** What a key may do: run code, or answer the questions of code that runs. No key may do both. */
export type KeyRight = 'run' | 'approve';

/**
 * Forms of key files. Keys that may answer are in a file of their own: releases that know of no such keys would refuse a
 * file that has them, or let them run code.
 */
const FILE_SCHEMAS: Readonly<Record<KeyRight, z.ZodType<StoredKey[]>>> = {
  run: z.strictObject({ keys: z.array(keySchema) }).transform(({ keys }) => keys),
  approve: z.strictObject({ approvers: z.array(approvingKeySchema) }).transform(({ approvers }) => approvers),
};

const fileSchemaFor = (right: KeyRight) =>
  FILE_SCHEMAS[right]
    .refine((keys) => isDistinct(keys.map(({ id }) => id)), 'two keys have the same id')
    .refine((keys) => isDistinct(keys.map(({ sha256 }) => sha256)), 'the same key occurs twice');

/** Returns the file of the keys that may answer, which is beside that of the keys that run code. */
export function approversFile(apiKeysFile: string): string {
  return `${apiKeysFile.replace(/\.json$/, '')}.approve.json`;
}

/**
 * Hash of a key, which is stored instead of the key. Unlike for passwords, a fast hash is safe: a key has 256 random
 * bits and cannot be guessed, and every request needs the hash.
 */
export function hashKey(key: string): Buffer {
  return createHash('sha256').update(key).digest();
}

/** Whether a key has expired. @param now milliseconds since 1970 */
export function isExpired({ expires_at }: Pick<StoredKey, 'expires_at'>, now = Date.now()): boolean {
  return expires_at !== undefined && Date.parse(expires_at) <= now;
}

/** Reads the text of a key file. @throws GloveboxError `invalid_input` with the reason, but no content of the file */
export function parseKeys(text: string, path: string, right: KeyRight = 'run'): StoredKey[] {
  const hint = 'Correct it, or move it away and create new keys with: glovebox key new <name>';
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw new GloveboxError('invalid_input', `The key file ${path} is not JSON.`, { hint });
  }
  const checked = fileSchemaFor(right).safeParse(parsed);
  if (checked.success) return checked.data;
  const [issue] = checked.error.issues;
  const where = issue && issue.path.length > 0 ? ` at ${issue.path.join('.')}` : '';
  throw new GloveboxError('invalid_input', `The key file ${path} is invalid${where}: ${issue?.message}.`, { hint });
}

/** Reads the keys of a file; none if it does not exist. @throws GloveboxError `invalid_input` if it cannot be read */
export function readKeys(path: string, right: KeyRight = 'run'): StoredKey[] {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw unusable(path, 'read', cause);
  }
  return parseKeys(text, path, right);
}

/**
 * Creates a key for an owner, who may have others: to replace a key, create a second one, then revoke the first.
 * Only the hash is stored. The key itself is only in the returned value.
 * @param expiresDays days until the key expires; never by default
 * @param web patterns that narrow what code of this owner may reach
 */
export function addKey(
  path: string,
  name: string,
  expiresDays?: number,
  web?: readonly string[],
): { key: string; stored: StoredKey } {
  checkName(name);
  const { key, stored } = newKey(name, expiresDays);
  const made = { key, stored: { ...stored, ...(web ? { web: [...web] } : {}) } };
  changeKeys(path, 'run', (keys) => [...keys, made.stored]);
  return made;
}

/**
 * Creates a key that may answer questions, like `addKey`.
 * @param path file of such keys
 * @param options `owner`: whose questions; everybody's by default
 */
export function addApprover(
  path: string,
  name: string,
  { expiresDays, owner }: { readonly expiresDays?: number | undefined; readonly owner?: string | undefined } = {},
): { key: string; stored: StoredKey } {
  for (const named of [name, owner]) if (named !== undefined && named !== LOCAL_OWNER) checkName(named);
  const { key, stored } = newKey(name, expiresDays);
  const made = { ...stored, ...(owner === undefined ? {} : { for: owner }) };
  changeKeys(path, 'approve', (keys) => [...keys, made]);
  return { key, stored: made };
}

function newKey(name: string, expiresDays?: number): { key: string; stored: StoredKey } {
  const now = Date.now();
  const key = PREFIX + randomBytes(32).toString('base64url');
  const stored: StoredKey = {
    id: `${name}.${randomBytes(4).toString('hex')}`,
    name,
    sha256: hashKey(key).toString('hex'),
    created_at: new Date(now).toISOString(),
    ...(expiresDays === undefined ? {} : { expires_at: new Date(now + expiresDays * DAY_MS).toISOString() }),
  };
  return { key, stored };
}

/** Creates a key if the file has none. Undefined if it has one already. */
export function addFirstKey(path: string, name: string): string | undefined {
  checkName(name);
  // A file that is mounted, as a secret of a cluster is, may be read only.
  if (readKeys(path).length > 0) return undefined;
  const made = newKey(name);
  let isFirst = false;
  changeKeys(path, 'run', (keys) => {
    isFirst = keys.length === 0;
    return isFirst ? [made.stored] : keys;
  });
  return isFirst ? made.key : undefined;
}

/**
 * Revokes one key by its id, or all keys of a name, and returns them.
 * @param path file of the keys that run code; those that may answer are looked for, too
 * @throws GloveboxError `not_found`
 */
export function revokeKeys(path: string, nameOrId: string): StoredKey[] {
  const isMeant = ({ id, name }: StoredKey) => id === nameOrId || name === nameOrId;
  const files = [[path, 'run'] as const, [approversFile(path), 'approve'] as const];
  const known = files.flatMap(([file, right]) => readKeys(file, right));
  const revoked = known.filter(isMeant);
  if (revoked.length === 0) throw unknownKey(nameOrId, known);
  for (const [file, right] of files) {
    if (readKeys(file, right).some(isMeant)) changeKeys(file, right, (keys) => keys.filter((key) => !isMeant(key)));
  }
  return revoked;
}

function checkName(name: string): void {
  if (!NAME.test(name)) {
    throw new GloveboxError('invalid_input', `${JSON.stringify(name.slice(0, 100))} is not a valid name for a key.`, {
      hint: 'Use 1 to 64 letters, digits, "_" or "-". The first must not be "-".',
    });
  }
  if (name === LOCAL_OWNER) {
    throw new GloveboxError('invalid_input', `"${name}" is the owner of everything that was created without a key.`, {
      hint: 'Choose another name.',
    });
  }
}

/** Changes the file under a lock for all processes. Readers see the file before or after the change. */
function changeKeys(path: string, right: KeyRight, change: (keys: StoredKey[]) => StoredKey[]): void {
  try {
    withFileLock(path, () => {
      const keys = change(readKeys(path, right));
      write(path, right === 'run' ? { keys } : { approvers: keys });
    });
  } catch (thrown) {
    throw thrown instanceof GloveboxError ? thrown : unusable(path, 'changed', thrown);
  }
}

function write(path: string, content: Readonly<Record<string, StoredKey[]>>): void {
  replaceFile(targetOfLink(path), `${JSON.stringify(content, null, 2)}\n`, { flush: true });
}

function unusable(path: string, what: 'read' | 'changed', cause: unknown): GloveboxError {
  const reason = (cause as NodeJS.ErrnoException).code ?? 'unknown error';
  return new GloveboxError('invalid_input', `The key file ${path} cannot be ${what}: ${reason}.`, {
    hint: 'Run as the owner of the file, or set GLOVEBOX_API_KEYS_FILE to another file.',
    cause,
  });
}

function unknownKey(nameOrId: string, keys: readonly StoredKey[]): GloveboxError {
  const known = keys.flatMap(({ id, name }) => [id, name]);
  const short = nameOrId.slice(0, 100);
  const meant = nearest(short, known);
  return new GloveboxError('not_found', `There is no key with the name or id ${JSON.stringify(short)}.`, {
    hint: `${meant ? `Did you mean ${meant}? ` : ''}See: glovebox key list`,
  });
}

function isDistinct(values: readonly string[]): boolean {
  return new Set(values).size === values.length;
}
