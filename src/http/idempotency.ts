import { createHash } from 'node:crypto';
import type { Context } from 'hono';
import { LRUCache } from 'lru-cache';
import { GloveboxError } from '../errors.ts';
import type { Env, Handler } from './route.ts';

/** A whole answer, to be sent any number of times. */
interface Answer {
  readonly status: number;
  readonly headers: [string, string][];
  readonly body: ArrayBuffer;
}

interface Entry {
  readonly fingerprint: string;
  readonly answer: Promise<Answer>;
}

const KEEP_MS = 60 * 60 * 1000;
const MOST_KEYS = 10_000;
const MOST_BYTES = 32 * 1024 * 1024;
const LONGEST_KEY = 255;

/** The answers to calls that came with a key (draft-ietf-httpapi-idempotency-key-header-07), each its owner's alone. */
export class IdempotencyKeys {
  readonly #entries = new LRUCache<string, Entry>({
    max: MOST_KEYS,
    maxSize: MOST_BYTES,
    ttl: KEEP_MS,
    noUpdateTTL: true,
  });

  /**
   * Does the work once for a key, and gives its answer as often as the same call comes; what fails is done anew.
   * @throws GloveboxError `invalid_input` when the key came with another call
   */
  async once(owner: string, key: string, fingerprint: string, work: () => Promise<Answer>): Promise<Answer> {
    const name = `${owner}\0${key}`;
    const known = this.#entries.peek(name);
    if (known) {
      if (known.fingerprint !== fingerprint) throw usedOtherwise(key);
      return await known.answer;
    }
    const entry: Entry = { fingerprint, answer: work() };
    this.#entries.set(name, entry, { size: 1 });
    try {
      const answer = await entry.answer;
      if (answer.status >= 500) this.#entries.delete(name);
      // A copy: the cache keeps the size of an entry that it has.
      else this.#entries.set(name, { ...entry }, { size: Math.max(1, answer.body.byteLength) });
      return answer;
    } catch (error) {
      this.#entries.delete(name);
      throw error;
    }
  }
}

/** The key of a call, if it has one. @throws GloveboxError `invalid_input` for one that is empty or too long */
export function idempotencyKey(c: Context<Env>): string | undefined {
  const key = c.req.header('idempotency-key');
  if (key === undefined || (key !== '' && key.length <= LONGEST_KEY)) return key;
  throw new GloveboxError('invalid_input', `The Idempotency-Key has ${key.length} characters.`, {
    hint: `Send 1 to ${LONGEST_KEY}, such as a UUID, the same for each try of one call.`,
  });
}

/** Tells one call from another: what is asked for, in which session, with which body. */
export function fingerprintOf(c: Context<Env>): string {
  const parts = [c.req.method, c.req.url, c.req.header('x-session-id') ?? '', c.var.body];
  return createHash('sha256').update(JSON.stringify(parts)).digest('base64url');
}

/** Lets a call that comes again with its key have the answer of the first, also while that is under way. */
export function idempotent(handle: Handler, keys: IdempotencyKeys): Handler {
  return async (c) => {
    const key = idempotencyKey(c);
    if (key === undefined) return await handle(c);
    if (c.var.body === undefined) {
      throw new GloveboxError('invalid_input', 'An Idempotency-Key is not taken with an upload.', {
        hint: 'Send it without: an upload that is sent again puts the same files in the same place.',
      });
    }
    let isFirst = false;
    const answer = await keys.once(c.var.owner, key, fingerprintOf(c), async () => {
      isFirst = true;
      const response = await handle(c);
      return { status: response.status, headers: [...response.headers], body: await response.arrayBuffer() };
    });
    const headers = new Headers(answer.headers);
    if (!isFirst) headers.set('Idempotency-Replayed', 'true');
    return new Response(answer.status === 204 ? null : answer.body, { status: answer.status, headers });
  };
}

/** The error of a key that came with two calls. */
export function usedOtherwise(key: string): GloveboxError {
  return new GloveboxError(
    'invalid_input',
    `The Idempotency-Key ${JSON.stringify(key.slice(0, 64))} came with another call.`,
    {
      hint: 'Use a new key for each call, and the same one only to try the very same call again.',
    },
  );
}
