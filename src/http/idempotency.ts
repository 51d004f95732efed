import { createHash } from 'node:crypto';
import type { Context } from 'hono';
import { LRUCache } from 'lru-cache';
import { GloveboxError } from '../errors.ts';
import type { BegunCall, SharedState } from '../state/state.ts';
import type { Env, Handler } from './route.ts';

/** A complete answer, which can be sent several times. */
interface Answer {
  readonly status: number;
  readonly headers: [string, string][];
  readonly body: ArrayBuffer;
}

interface Entry {
  readonly fingerprint: string;
  readonly answer: Promise<Answer>;
}

/** Time in milliseconds for which an answer is kept. */
const KEEP_MS = 60 * 60 * 1000;
/** Keys whose answers are kept. */
const MOST_KEYS = 10_000;
/** Size of all answers that are kept, in bytes. */
const MOST_BYTES = 32 * 1024 * 1024;
/** Characters of a key. */
const LONGEST_KEY = 255;

/** What all servers of a service know of calls with an idempotency key. */
export type CallLedger = Pick<SharedState, 'beginCall' | 'forgetCall'>;

/**
 * Does work unless a call with its key began before: on a server that died, for example.
 * @throws GloveboxError `session_moved` if it did, `invalid_input` if that was another call
 */
export async function beginOnce<T>(
  ledger: CallLedger | undefined,
  call: BegunCall,
  work: () => Promise<T>,
  isFailed: (done: T) => boolean = () => false,
): Promise<T> {
  if (!ledger) return await work();
  const before = await ledger.beginCall(call);
  if (before) throw before.fingerprint === call.fingerprint ? beganBefore(call.key) : keyReused(call.key);
  const forget = async () => await ledger.forgetCall(call.owner, call.key).catch(() => {});
  try {
    const done = await work();
    if (isFailed(done)) await forget();
    return done;
  } catch (error) {
    if (!mayHaveRun(error)) await forget();
    throw error;
  }
}

/** Answers to calls with an idempotency key (draft-ietf-httpapi-idempotency-key-header-07), separate for each owner. */
export class IdempotencyKeys {
  readonly #entries = new LRUCache<string, Entry>({
    max: MOST_KEYS,
    maxSize: MOST_BYTES,
    ttl: KEEP_MS,
    noUpdateTTL: true,
  });
  readonly #ledger: CallLedger | undefined;

  /** @param ledger what other servers know of calls */
  constructor(ledger?: CallLedger) {
    this.#ledger = ledger;
  }

  /** Whether a call with this key is under way, or its answer is kept. */
  has(owner: string, key: string): boolean {
    return this.#entries.has(`${owner}\0${key}`);
  }

  /**
   * Does the work once for a key, and gives the same answer to all repetitions of the call. Failed work is done again.
   * @throws GloveboxError `invalid_input` when the key was used for another call; as `beginOnce` does
   */
  async once(owner: string, key: string, fingerprint: string, work: () => Promise<Answer>): Promise<Answer> {
    const name = `${owner}\0${key}`;
    const known = this.#entries.peek(name);
    if (known) {
      if (known.fingerprint !== fingerprint) throw keyReused(key);
      return await known.answer;
    }
    const isFailed = ({ status }: Answer) => status >= 500;
    const entry: Entry = { fingerprint, answer: beginOnce(this.#ledger, { owner, key, fingerprint }, work, isFailed) };
    this.#entries.set(name, entry, { size: 1 });
    try {
      const answer = await entry.answer;
      if (isFailed(answer)) this.#entries.delete(name);
      // A copy, because the cache does not change the size of an entry that it already has.
      else this.#entries.set(name, { ...entry }, { size: Math.max(1, answer.body.byteLength) });
      return answer;
    } catch (error) {
      this.#entries.delete(name);
      throw error;
    }
  }
}

/** The idempotency key of a call, if any. @throws GloveboxError `invalid_input` for one that is empty or too long */
export function idempotencyKey(c: Context<Env>): string | undefined {
  const key = c.req.header('idempotency-key');
  if (key === undefined || (key !== '' && key.length <= LONGEST_KEY)) return key;
  throw new GloveboxError('invalid_input', `The Idempotency-Key has ${key.length} characters.`, {
    hint: `Send 1 to ${LONGEST_KEY} characters, such as a UUID. Use the same key for each attempt of one call.`,
  });
}

/** Hash that identifies a call by its method, URL, session and body. */
export function fingerprintOf(c: Context<Env>): string {
  const parts = [c.req.method, pathOf(c.req.url), c.req.header('x-session-id') ?? '', c.get('body')];
  return createHash('sha256').update(JSON.stringify(parts)).digest('base64url');
}

/** Path and query. Attempts of one call may name different hosts, where there are several servers. */
function pathOf(url: string): string {
  return url.replace(/^[a-z]+:\/\/[^/]*/, '');
}

/** Makes a handler answer a repeated key with the answer of the first call, also while that is still running. */
export function idempotent(handle: Handler, keys: IdempotencyKeys): Handler {
  return async (c) => {
    const key = idempotencyKey(c);
    if (key === undefined) return await handle(c);
    if (c.get('body') === undefined) {
      throw new GloveboxError('invalid_input', 'An Idempotency-Key cannot be used with an upload.', {
        hint: 'Leave it out: a repeated upload writes the same files again.',
      });
    }
    let isFirst = false;
    const answer = await keys.once(c.get('owner'), key, fingerprintOf(c), async () => {
      isFirst = true;
      const response = await handle(c);
      return { status: response.status, headers: [...response.headers], body: await response.arrayBuffer() };
    });
    const headers = new Headers(answer.headers);
    if (!isFirst) headers.set('Idempotency-Replayed', 'true');
    return new Response(answer.status === 204 ? null : answer.body, { status: answer.status, headers });
  };
}

/** Error of a key that was used for two different calls. */
export function keyReused(key: string): GloveboxError {
  return new GloveboxError(
    'invalid_input',
    `The Idempotency-Key ${JSON.stringify(key.slice(0, 64))} was used for another call.`,
    {
      hint: 'Use a new key for each call, and the same key only to repeat the same call.',
    },
  );
}

/** Whether it is not known what a call did. */
function mayHaveRun(error: unknown): boolean {
  return error instanceof GloveboxError && (error.begun ?? error.code === 'session_moved');
}

/** Error of a key whose call began, and whose answer is not here. */
function beganBefore(key: string): GloveboxError {
  return new GloveboxError(
    'session_moved',
    `The call with the Idempotency-Key ${JSON.stringify(key.slice(0, 64))} began before, on a server that has ended since or no longer has its answer.`,
    { hint: 'It is not run again. To run it again, use a new key.', begun: true },
  );
}
