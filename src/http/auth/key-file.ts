import { createHash, randomBytes } from 'node:crypto';
import { readFileSync, realpathSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { z } from 'zod';
import { GloveboxError } from '../../errors.ts';
import { makeDirectory } from '../../lib/make-directory.ts';
import { nearest } from '../../lib/nearest.ts';
import { replaceFile } from '../../lib/replace-file.ts';
import { LOCAL_OWNER } from '../../sessions/caller.ts';

/** Whose a key is. No dot is in it, so a key's id is never mistaken for a name. */
const NAME = /^[A-Za-z0-9_][A-Za-z0-9_-]{0,63}$/;
/** Lets people and secret scanners see what it is. */
const PREFIX = 'gbk_';
const DAY_MS = 86_400_000;
/** For another command that changes the file just now. */
const LOCK_WAIT_MS = 10_000;

/** Strict: a mistyped `expires_at` must not make a key that lasts for ever. Times are ISO 8601. */
const keySchema = z.strictObject({
  id: z.string().regex(/^[A-Za-z0-9_-]{1,64}\.[0-9a-f]{8}$/),
  name: z.string().regex(NAME),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  created_at: z.iso.datetime(),
  expires_at: z.iso.datetime().optional(),
});

const fileSchema = z
  .strictObject({ keys: z.array(keySchema) })
  .refine(({ keys }) => isDistinct(keys.map(({ id }) => id)), 'two keys have the same id')
  .refine(({ keys }) => isDistinct(keys.map(({ sha256 }) => sha256)), 'one key is there twice');

/** One key of the file; several may have one name, which is the owner's. */
export type StoredKey = z.infer<typeof keySchema>;

/**
 * What is kept of a key. A fast hash is right here, as it is not for passwords: a key is 256 random bits,
 * so there is nothing to guess, and every request is checked.
 */
export function hashKey(key: string): Buffer {
  return createHash('sha256').update(key).digest();
}

export function isExpired({ expires_at }: Pick<StoredKey, 'expires_at'>, now = Date.now()): boolean {
  return expires_at !== undefined && Date.parse(expires_at) <= now;
}

/** @throws GloveboxError `invalid_input` that says what is wrong with the file, and nothing of what is in it. */
export function parseKeys(text: string, path: string): StoredKey[] {
  const hint = 'Correct it, or move it away and make new keys with: glovebox key new <name>';
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw new GloveboxError('invalid_input', `The key file ${path} is not JSON.`, { hint });
  }
  const checked = fileSchema.safeParse(parsed);
  if (checked.success) return checked.data.keys;
  const [issue] = checked.error.issues;
  const where = issue && issue.path.length > 0 ? ` at ${issue.path.join('.')}` : '';
  throw new GloveboxError('invalid_input', `The key file ${path} is wrong${where}: ${issue?.message}.`, { hint });
}

/** The keys of a file; none when there is no file. @throws GloveboxError `invalid_input` when it cannot be read. */
export function readKeys(path: string): StoredKey[] {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw unusable(path, 'read', cause);
  }
  return parseKeys(text, path);
}

/**
 * Makes a key for an owner, besides those that the owner has: a key is replaced by a second one, then revoked.
 * Nothing but its hash is kept: the key itself is in the answer only.
 */
export function addKey(path: string, name: string, expiresDays?: number): { key: string; stored: StoredKey } {
  checkName(name);
  const made = newKey(name, expiresDays);
  changeKeys(path, (keys) => [...keys, made.stored]);
  return made;
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

/** Makes the first key of all; nothing, and undefined, where there are keys already. */
export function addFirstKey(path: string, name: string): string | undefined {
  checkName(name);
  const made = newKey(name);
  let isFirst = false;
  changeKeys(path, (keys) => {
    isFirst = keys.length === 0;
    return isFirst ? [made.stored] : keys;
  });
  return isFirst ? made.key : undefined;
}

/** Takes away one key by its id, or all of an owner by name; those it took. @throws GloveboxError `not_found` */
export function revokeKeys(path: string, nameOrId: string): StoredKey[] {
  const isMeant = ({ id, name }: StoredKey) => id === nameOrId || name === nameOrId;
  let revoked: StoredKey[] = [];
  changeKeys(path, (keys) => {
    revoked = keys.filter(isMeant);
    if (revoked.length === 0) throw unknownKey(nameOrId, keys);
    return keys.filter((key) => !isMeant(key));
  });
  return revoked;
}

function checkName(name: string): void {
  if (!NAME.test(name)) {
    throw new GloveboxError('invalid_input', `${JSON.stringify(name.slice(0, 100))} cannot be a key's name.`, {
      hint: 'Use 1 to 64 letters, digits, "_" or "-", not beginning with "-".',
    });
  }
  if (name === LOCAL_OWNER) {
    throw new GloveboxError('invalid_input', `"${name}" is the owner of what was made without a key.`, {
      hint: 'Choose another name.',
    });
  }
}

/** One change at a time, among all processes; readers see the file before it or after it. */
function changeKeys(path: string, change: (keys: StoredKey[]) => StoredKey[]): void {
  let lock: DatabaseSync | undefined;
  try {
    makeDirectory(dirname(path));
    lock = new DatabaseSync(`${path}.lock`);
    lock.exec(`PRAGMA busy_timeout = ${LOCK_WAIT_MS}; PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE`);
    write(path, change(readKeys(path)));
  } catch (thrown) {
    throw thrown instanceof GloveboxError ? thrown : unusable(path, 'changed', thrown);
  } finally {
    lock?.close();
  }
}

function write(path: string, keys: StoredKey[]): void {
  replaceFile(resolveLink(path), `${JSON.stringify({ keys }, null, 2)}\n`, { flush: true });
}

/** Where a symbolic link leads: the link itself stays. */
function resolveLink(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

function unusable(path: string, what: 'read' | 'changed', cause: unknown): GloveboxError {
  const reason = (cause as NodeJS.ErrnoException).code ?? 'the system refuses';
  return new GloveboxError('invalid_input', `The key file ${path} cannot be ${what}: ${reason}.`, {
    hint: 'Run as the user whose file it is, or name another with GLOVEBOX_API_KEYS_FILE.',
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
