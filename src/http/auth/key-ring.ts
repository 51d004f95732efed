import { timingSafeEqual } from 'node:crypto';
import { closeSync, fstatSync, openSync, readFileSync, statSync } from 'node:fs';
import { GloveboxError } from '../../errors.ts';
import type { Log } from '../../log.ts';
import type { Answer } from './auth.ts';
import { hashKey, isExpired, parseKeys, type StoredKey } from './key-file.ts';

/** Between two looks at the file while answers are under way; without any, each request looks. */
const LOOK_MS = 500;

interface RingKey extends StoredKey {
  readonly digest: Buffer;
}

/**
 * The keys that are valid now: follows its file while the server runs. A file that cannot be read changes
 * nothing, and is logged. Answers to a key that is no longer valid are cut off within `LOOK_MS`.
 */
export class KeyRing implements Disposable {
  readonly #path: string;
  readonly #log: Log;
  readonly #answers = new Map<Answer, RingKey>();
  readonly #timer: NodeJS.Timeout;
  #keys: readonly RingKey[] = [];
  /** Identifies the content that `#keys` is, or the one that could not be read. */
  #stamp = '';

  private constructor(path: string, log: Log) {
    this.#path = path;
    this.#log = log;
    this.#timer = setInterval(() => this.#hangUp(), LOOK_MS).unref();
  }

  /**
   * `mayBeEmpty`: the first key is made later, and found at the first request that shows it.
   * @throws GloveboxError `invalid_input` when the file cannot be read, or nobody could call
   */
  static open(path: string, log: Log, { mayBeEmpty = false } = {}): KeyRing {
    const ring = new KeyRing(path, log);
    try {
      ring.#load();
      const isEmpty = ring.#keys.length === 0;
      if (isEmpty ? mayBeEmpty : !ring.#keys.every((key) => isExpired(key))) return ring;
      throw nobody(path);
    } catch (error) {
      const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT';
      if (isMissing && mayBeEmpty) return ring;
      ring[Symbol.dispose]();
      throw isMissing ? nobody(path) : error;
    }
  }

  /**
   * The owner whose key this is, or undefined; `answer` is cut off if the key ends before it does.
   * All keys are compared with, each in constant time: what is known of a wrong one is only that it is wrong.
   */
  ownerOf(presented: string, answer?: Answer): string | undefined {
    this.#refresh();
    const digest = hashKey(presented);
    let found: RingKey | undefined;
    for (const key of this.#keys) if (timingSafeEqual(key.digest, digest)) found = key;
    if (!found || isExpired(found)) return undefined;
    if (answer) {
      this.#answers.set(answer, found);
      answer.once('close', () => this.#answers.delete(answer));
    }
    return found.name;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  #hangUp(): void {
    if (this.#answers.size === 0) return;
    this.#refresh();
    const valid = new Map(this.#keys.filter((key) => !isExpired(key)).map((key) => [key.sha256, key.name]));
    for (const [answer, { sha256, name }] of this.#answers) {
      if (valid.get(sha256) === name) continue;
      this.#answers.delete(answer);
      answer.destroy();
    }
  }

  #refresh(): void {
    let stamp = 'missing';
    try {
      stamp = stampOf(statSync(this.#path, { bigint: true }));
      if (stamp === this.#stamp) return;
      this.#load();
      this.#log.info('read the keys anew', { keys: this.#keys.length });
    } catch (error) {
      if (stamp === this.#stamp) return;
      this.#stamp = stamp;
      this.#log.error('the key file cannot be read: the keys stay as they were', { file: this.#path, error });
    }
  }

  #load(): void {
    const file = openSync(this.#path, 'r');
    try {
      // Taken before the content is: a change in between is seen at the next look.
      const stamp = stampOf(fstatSync(file, { bigint: true }));
      const keys = parseKeys(readFileSync(file, 'utf8'), this.#path);
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

function nobody(path: string): GloveboxError {
  return new GloveboxError('invalid_input', `No key may call: ${path} holds none that is valid.`, {
    hint: 'Make one with: glovebox key new <name>',
  });
}
