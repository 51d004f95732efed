import { timingSafeEqual } from 'node:crypto';
import { closeSync, fstatSync, openSync, readFileSync, statSync } from 'node:fs';
import { GloveboxError } from '../../errors.ts';
import type { Log } from '../../log.ts';
import type { Answer } from './auth.ts';
import { endAnswer } from './end-answer.ts';
import { hashKey, isExpired, type KeyRight, parseKeys, type StoredKey } from './key-file.ts';

/** Interval between two checks of the key file, in milliseconds, while answers are being sent. */
const CHECK_INTERVAL_MS = 500;

interface RingKey extends StoredKey {
  readonly digest: Buffer;
}

/**
 * The keys that are valid now. Each request checks whether the key file has changed, and reads it again if so. If it
 * cannot be read, this is logged, and the keys stay the same. Answers to a key that is no longer valid are cut off
 * within `CHECK_INTERVAL_MS`.
 */
export class KeyRing implements Disposable {
  readonly #path: string;
  readonly #right: KeyRight;
  readonly #log: Log;
  readonly #answers = new Map<Answer, RingKey>();
  readonly #timer: NodeJS.Timeout;
  #keys: readonly RingKey[] = [];
  /** Identity of the file that was read last, or that could not be read. */
  #stamp = '';

  private constructor(path: string, right: KeyRight, log: Log) {
    this.#path = path;
    this.#right = right;
    this.#log = log;
    this.#timer = setInterval(() => this.#endInvalidAnswers(), CHECK_INTERVAL_MS).unref();
  }

  /**
   * Opens a key file.
   * @param options `mayBeEmpty` allows a file without keys, whose first key is created later; `right`: what its keys may do
   * @throws GloveboxError `invalid_input` when the file cannot be read, or has no valid key
   */
  static open(path: string, log: Log, { mayBeEmpty = false, right = 'run' as KeyRight } = {}): KeyRing {
    const ring = new KeyRing(path, right, log);
    try {
      ring.#load();
      // Nobody needs a key to answer: there may be none, or one that has expired.
      if (right === 'approve') return ring;
      const isEmpty = ring.#keys.length === 0;
      if (isEmpty ? mayBeEmpty : !ring.#keys.every((key) => isExpired(key))) return ring;
      throw noValidKey(path);
    } catch (error) {
      const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT';
      if (isMissing && mayBeEmpty) return ring;
      ring[Symbol.dispose]();
      throw isMissing ? noValidKey(path) : error;
    }
  }

  /** Whether there is a valid key that may answer the questions of an owner. */
  mayAnswer(owner: string): boolean {
    this.#refresh();
    return this.#keys.some((key) => !isExpired(key) && (key.for ?? owner) === owner);
  }

  /**
   * Patterns that the valid keys of an owner narrow the web to, a list for each key that has some. They all count: what one
   * key began, another one can reach. Undefined if no key of the owner is valid.
   */
  webOf(owner: string): readonly (readonly string[])[] | undefined {
    this.#refresh();
    const keys = this.#keys.filter((key) => key.name === owner && !isExpired(key));
    return keys.length > 0 ? keys.flatMap(({ web }) => (web ? [web] : [])) : undefined;
  }

  /**
   * Finds a key; undefined when it is not valid. `answer` is cut off if the key is revoked or expires.
   * All keys are compared in constant time, so that a wrong key gives no information about the valid ones.
   */
  find(presented: string, answer?: Answer): StoredKey | undefined {
    this.#refresh();
    const digest = hashKey(presented);
    let found: RingKey | undefined;
    for (const key of this.#keys) if (timingSafeEqual(key.digest, digest)) found = key;
    if (!found || isExpired(found)) return undefined;
    if (answer) {
      this.#answers.set(answer, found);
      answer.once('close', () => this.#answers.delete(answer));
    }
    return found;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  #endInvalidAnswers(): void {
    if (this.#answers.size === 0) return;
    this.#refresh();
    const valid = new Map(this.#keys.filter((key) => !isExpired(key)).map((key) => [key.sha256, key.name]));
    for (const [answer, { sha256, name }] of this.#answers) {
      if (valid.get(sha256) === name) continue;
      this.#answers.delete(answer);
      endAnswer(answer);
    }
  }

  #refresh(): void {
    let stamp = 'missing';
    try {
      stamp = stampOf(statSync(this.#path, { bigint: true }));
      if (stamp === this.#stamp) return;
      this.#load();
      this.#log.info('read the keys again', { keys: this.#keys.length });
    } catch (error) {
      if (stamp === this.#stamp) return;
      this.#stamp = stamp;
      if (this.#right === 'approve' && stamp === 'missing' && this.#keys.length === 0) return;
      this.#log.error('the key file cannot be read; keeping the keys that were read before', {
        file: this.#path,
        error,
      });
    }
  }

  #load(): void {
    const file = openSync(this.#path, 'r');
    try {
      // Taken before the content is read, so that a change in between is found at the next check.
      const stamp = stampOf(fstatSync(file, { bigint: true }));
      const keys = parseKeys(readFileSync(file, 'utf8'), this.#path, this.#right);
      this.#keys = keys.map((key) => ({ ...key, digest: Buffer.from(key.sha256, 'hex') }));
      this.#stamp = stamp;
    } finally {
      closeSync(file);
    }
  }
}

function stampOf({ ino, size, mtimeNs, ctimeNs }: Record<'ino' | 'size' | 'mtimeNs' | 'ctimeNs', bigint>): string {
  return [ino, size, mtimeNs, ctimeNs].join(' ');
}

function noValidKey(path: string): GloveboxError {
  return new GloveboxError('invalid_input', `The key file ${path} has no valid key, so nobody could use this server.`, {
    hint: 'Create one with: glovebox key new <name>',
  });
}
