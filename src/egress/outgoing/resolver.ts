import { type LookupAddress, lookup } from 'node:dns';
import type { LookupFunction } from 'node:net';
import { LRUCache } from 'lru-cache';
import { ConcurrencyLimit } from '../../lib/concurrency-limit.ts';
import { unlessAborted } from '../../lib/unless-aborted.ts';

/** Names of one owner that are resolved at once. The system resolves in threads that all of this process share. */
const AT_ONCE_PER_OWNER = 1;
/** Names of all owners that are resolved at once: a part of those threads. */
const AT_ONCE = 3;
/** Time after which a resolution no longer keeps others waiting, in milliseconds. */
const LONGEST_HOLD_MS = 30_000;
/** Time for which addresses are used again, in milliseconds. They are checked each time. */
const TTL_MS = 5000;
const MOST_NAMES = 2000;
/** Names of one owner that may wait: connections that asked for them may be gone already. */
const MOST_WAITING = 256;

/** Names of one owner that are asked for. */
interface Queue {
  readonly places: ConcurrencyLimit;
  waiting: number;
}

type Answer = { readonly addresses: readonly LookupAddress[] } | { readonly error: NodeJS.ErrnoException };

/** Resolves names for code, by the resolver of this machine, so that no owner keeps another one's names waiting for long. */
export class Resolver {
  readonly #lookup: LookupFunction;
  readonly #all = new ConcurrencyLimit(AT_ONCE, LONGEST_HOLD_MS);
  readonly #queues = new Map<string, Queue>();
  readonly #answers = new LRUCache<string, Promise<Answer>>({ max: MOST_NAMES, ttl: TTL_MS });

  constructor(resolve: LookupFunction = lookup) {
    this.#lookup = resolve;
  }

  /** Resolves a name. @throws the error of the resolver, EAI_AGAIN for too many names at once; the reason of the signal */
  async resolve(owner: string, name: string, signal: AbortSignal): Promise<readonly LookupAddress[]> {
    const key = `${owner}\n${name}`;
    let answer = this.#answers.get(key);
    if (!answer) {
      answer = this.#ask(owner, name);
      this.#answers.set(key, answer);
    }
    const given = await unlessAborted(answer, signal);
    if ('error' in given) throw given.error;
    return given.addresses;
  }

  async #ask(owner: string, name: string): Promise<Answer> {
    const queue = this.#queues.get(owner) ?? {
      places: new ConcurrencyLimit(AT_ONCE_PER_OWNER, LONGEST_HOLD_MS),
      waiting: 0,
    };
    if (queue.waiting >= MOST_WAITING)
      return { error: Object.assign(new Error('too many names'), { code: 'EAI_AGAIN' }) };
    this.#queues.set(owner, queue);
    queue.waiting += 1;
    try {
      return await queue.places.run(() => this.#all.run(() => this.#lookUp(name)));
    } finally {
      queue.waiting -= 1;
      if (queue.waiting === 0) this.#queues.delete(owner);
    }
  }

  #lookUp(name: string): Promise<Answer> {
    return new Promise((resolve) => {
      this.#lookup(name, { all: true }, (error, found) => {
        if (error) return resolve({ error });
        resolve({ addresses: typeof found === 'string' ? [{ address: found, family: 0 }] : found });
      });
    });
  }
}
