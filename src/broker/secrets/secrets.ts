import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { GloveboxError } from '../../errors.ts';
import { withFileLock } from '../../lib/file-lock.ts';
import { nearest } from '../../lib/nearest.ts';
import { replaceFile } from '../../lib/replace-file.ts';
import { SECRET_NAME } from './placeholders.ts';

/** Shortest secret in characters. A shorter one would be found, and removed, where it is only a coincidence. */
const SHORTEST = 8;
const LONGEST = 65_536;
/** Time for which the file is not looked at again, in milliseconds. */
const FRESH_MS = 1000;

const values = z.record(z.string().regex(SECRET_NAME), z.string().min(SHORTEST).max(LONGEST));
const fileSchema = z.strictObject({ shared: values.default({}), owners: z.record(z.string(), values).default({}) });
type SecretsFile = z.infer<typeof fileSchema>;

const EMPTY: SecretsFile = { shared: {}, owners: {} };

/** A secret without its value. */
export interface SecretEntry {
  readonly name: string;
  /** Undefined for a shared one. */
  readonly owner?: string;
}

/** Place of the secrets in a state directory. */
export function secretsPath(stateDir: string): string {
  return join(stateDir, 'secrets.json');
}

/** Secrets of a state directory, as they are at the moment. Only their names are ever shown. */
export class Secrets {
  readonly #path: string;
  readonly #now: () => number;
  #known = EMPTY;
  #version = '';
  #values: readonly string[] = [];
  #lookedAt = Number.NEGATIVE_INFINITY;

  constructor(stateDir: string, now: () => number = () => performance.now()) {
    this.#path = secretsPath(stateDir);
    this.#now = now;
  }

  /** Value of a secret: that of an owner, who then has no use of a shared one, or a shared one. */
  valueOf(name: string, owner?: string): string | undefined {
    const known = this.#current();
    return owner === undefined ? ownValue(known.shared, name) : ownValue(ownValue(known.owners, owner) ?? {}, name);
  }

  /**
   * All values since the start, with which to look for them in what goes into a sandbox: one that was replaced may still
   * be valid. Another array once there are more.
   */
  get values(): readonly string[] {
    this.#current();
    return this.#values;
  }

  /** A second old at most. @throws GloveboxError `invalid_input` for a damaged file */
  #current(): SecretsFile {
    const now = this.#now();
    if (now - this.#lookedAt < FRESH_MS) return this.#known;
    const version = versionOf(this.#path);
    if (version !== this.#version) {
      this.#known = readSecrets(this.#path);
      this.#version = version;
      const { shared, owners } = this.#known;
      const all = [shared, ...Object.values(owners)].flatMap((some) => Object.values(some));
      this.#values = [...new Set([...this.#values, ...all])];
    }
    this.#lookedAt = now;
    return this.#known;
  }
}

function versionOf(path: string): string {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat ? `${stat.ino} ${stat.size} ${stat.mtimeMs}` : '';
}

/** The value of a field that is the object's own. */
function ownValue<T>(object: Readonly<Record<string, T>>, name: string): T | undefined {
  return Object.hasOwn(object, name) ? object[name] : undefined;
}

function readSecrets(path: string): SecretsFile {
  let parsed: unknown;
  try {
    parsed = JSON.parse(readFileSync(path, 'utf8'));
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === 'ENOENT') return EMPTY;
    // What JSON.parse says quotes the text.
    throw unusable(path, code === undefined ? 'it is not JSON' : code);
  }
  const checked = fileSchema.safeParse(parsed);
  if (checked.success) return checked.data;
  const where = checked.error.issues[0]?.path.join('.') ?? '';
  throw unusable(path, `it is wrong at ${JSON.stringify(where.slice(0, 128))}`);
}

function unusable(path: string, reason: string): GloveboxError {
  return new GloveboxError('invalid_input', `The secrets in ${path} cannot be used: ${reason}.`, {
    hint: 'Run as the owner of the file. If it is damaged, move it away and set the secrets anew: glovebox secret set NAME',
  });
}

/** Stores a secret. @throws GloveboxError `invalid_input` that does not show the value */
export function setSecret(stateDir: string, { name, owner }: SecretEntry, value: string): void {
  checkName(name);
  const fault = faultOfValue(value);
  if (fault) throw new GloveboxError('invalid_input', `The value of ${name} ${fault[0]}.`, { hint: fault[1] });
  change(stateDir, ({ shared, owners }) =>
    owner === undefined
      ? { shared: { ...shared, [name]: value }, owners }
      : { shared, owners: { ...owners, [owner]: { ...ownValue(owners, owner), [name]: value } } },
  );
}

function faultOfValue(value: string): [said: string, hint: string] | undefined {
  if (value.length < SHORTEST)
    return [`has fewer than ${SHORTEST} characters`, 'So short a value cannot be told from other text in results.'];
  if (value.length > LONGEST) return [`has more than ${LONGEST} characters`, 'Pipe only the secret itself to stdin.'];
  // It goes into a header or a variable of the environment.
  if (/\p{Cc}/u.test(value)) return ['has more than one line, or a control character', 'Pipe one line to stdin.'];
  return undefined;
}

/** Lists the secrets, without values. */
export function listSecrets(stateDir: string): SecretEntry[] {
  const { shared, owners } = readSecrets(secretsPath(stateDir));
  const own = Object.entries(owners).flatMap(([owner, some]) => Object.keys(some).map((name) => ({ name, owner })));
  return [...Object.keys(shared).map((name) => ({ name })), ...own];
}

/** Removes a secret. @throws GloveboxError `not_found` with the nearest name */
export function removeSecret(stateDir: string, { name, owner }: SecretEntry): void {
  change(stateDir, ({ shared, owners }) => {
    const from = owner === undefined ? shared : (ownValue(owners, owner) ?? {});
    if (!Object.hasOwn(from, name)) throw unknownSecret({ name, ...(owner === undefined ? {} : { owner }) }, from);
    const { [name]: _removed, ...left } = from;
    if (owner === undefined) return { shared: left, owners };
    const { [owner]: _own, ...others } = owners;
    return { shared, owners: Object.keys(left).length > 0 ? { ...others, [owner]: left } : others };
  });
}

function change(stateDir: string, work: (known: SecretsFile) => SecretsFile): void {
  const path = secretsPath(stateDir);
  try {
    withFileLock(path, () =>
      replaceFile(path, `${JSON.stringify(work(readSecrets(path)), null, 2)}\n`, { flush: true, mode: 0o600 }),
    );
  } catch (thrown) {
    if (thrown instanceof GloveboxError) throw thrown;
    throw unusable(path, (thrown as NodeJS.ErrnoException).code ?? 'it cannot be written');
  }
}

function checkName(name: string): void {
  if (SECRET_NAME.test(name)) return;
  throw new GloveboxError('invalid_input', `${JSON.stringify(name.slice(0, 64))} is no name for a secret.`, {
    hint: 'Use up to 64 letters, digits and "_", not beginning with a digit. The value goes to stdin.',
  });
}

function unknownSecret({ name, owner }: SecretEntry, from: Readonly<Record<string, string>>): GloveboxError {
  const near = nearest(name, Object.keys(from));
  const whose = owner === undefined ? 'shared' : `of ${owner}`;
  return new GloveboxError('not_found', `There is no secret ${JSON.stringify(name.slice(0, 64))} (${whose}).`, {
    hint: `${near ? `Did you mean ${near}? ` : ''}See: glovebox secret list`,
  });
}
