import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { GloveboxError } from '../../../errors.ts';
import type { Log } from '../../../log.ts';
import { ApiRefusal, statusOf, statusSchema } from './answer.ts';
import type { KubernetesClient, Query } from './client.ts';

/** Seconds after which a watch is begun anew, so that a connection that has died without a word is noticed. */
const ROUND_S = 60;
/** Silence in milliseconds beyond that which ends a watch. */
const SILENCE_LIMIT_MS = 15_000;
/** Shortest and longest wait before the next attempt after a failure, in milliseconds. */
const WAIT_MS = { least: 200, most: 10_000 };
/** Status of a resource version that the server has forgotten. */
const GONE = 410;

/** What each object of a collection has. */
export interface WatchedObject {
  readonly metadata: { readonly name: string; readonly uid: string; readonly resourceVersion: string };
}

export interface WatchOptions<T extends WatchedObject> {
  /** Path of the collection, such as `/api/v1/namespaces/x/pods`. */
  readonly path: string;
  readonly labelSelector?: string;
  readonly schema: z.ZodType<T>;
  readonly log: Log;
}

/** @param now undefined if it is gone */
export type OnChange<T> = (name: string, now: T | undefined, before: T | undefined) => void;

const versionSchema = z.object({ metadata: z.object({ resourceVersion: z.string() }) });
const eventSchema = z.object({ type: z.string(), object: z.unknown() });

/**
 * The objects of a collection by name, as the API server tells of their changes. While it does not answer, the last known
 * ones stay; what changed meanwhile is told once it answers again.
 */
export class Watch<T extends WatchedObject> implements Disposable {
  readonly #client: KubernetesClient;
  readonly #options: WatchOptions<T>;
  readonly #objects = new Map<string, T>();
  readonly #listeners = new Set<OnChange<T>>();
  readonly #stopping = new AbortController();
  readonly #ready = Promise.withResolvers<void>();
  #version: string | undefined;
  #isCurrent = false;

  private constructor(client: KubernetesClient, options: WatchOptions<T>) {
    this.#client = client;
    this.#options = options;
    this.#ready.promise.catch(() => {});
  }

  /**
   * Lists a collection, and watches it from then on.
   * @throws GloveboxError `engine_unavailable` if the first list fails
   */
  static async start<T extends WatchedObject>(client: KubernetesClient, options: WatchOptions<T>): Promise<Watch<T>> {
    const watch = new Watch(client, options);
    await watch.#list();
    void watch.#run();
    return watch;
  }

  /** Whether the server is telling of changes now. */
  get isCurrent(): boolean {
    return this.#isCurrent;
  }

  get(name: string): T | undefined {
    return this.#objects.get(name);
  }

  values(): T[] {
    return [...this.#objects.values()];
  }

  /** Calls back with each change, until disposed of. */
  onChange(listener: OnChange<T>): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => this.#listeners.delete(listener) };
  }

  /**
   * Waits until an object is as wanted.
   * @param test returns undefined while it is not; called with undefined while there is none. What it throws is thrown here.
   * @throws GloveboxError `engine_unavailable` after `timeoutMs` milliseconds, or once the watch is disposed of; the reason
   *   of the signal
   */
  async waitFor<R>(
    name: string,
    test: (object: T | undefined) => R | undefined,
    { timeoutMs, signal }: { timeoutMs: number; signal?: AbortSignal },
  ): Promise<R> {
    const { promise, resolve, reject } = Promise.withResolvers<R>();
    const look = (object: T | undefined) => {
      try {
        const result = test(object);
        if (result !== undefined) resolve(result);
      } catch (error) {
        reject(error);
      }
    };
    using _listening = this.onChange((changed, object) => {
      if (changed === name) look(object);
    });
    const ending = AbortSignal.any([this.#stopping.signal, ...(signal ? [signal] : [])]);
    const stop = () => reject(ending.reason);
    const timer = setTimeout(() => reject(tooLate(name, timeoutMs)), timeoutMs);
    ending.addEventListener('abort', stop, { once: true });
    try {
      if (ending.aborted) stop();
      look(this.#objects.get(name));
      return await promise;
    } finally {
      clearTimeout(timer);
      ending.removeEventListener('abort', stop);
    }
  }

  [Symbol.dispose](): void {
    this.#stopping.abort(new GloveboxError('engine_unavailable', 'The cluster is not watched any more.'));
    this.#listeners.clear();
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    let wait = WAIT_MS.least;
    while (!signal.aborted) {
      try {
        if (this.#version === undefined) await this.#list();
        await this.#follow();
        wait = WAIT_MS.least;
      } catch (error) {
        if (signal.aborted) return;
        if (statusOf(error) === GONE) this.#version = undefined;
        else {
          this.#options.log.warn('the watch of the cluster broke off', { path: this.#options.path, error });
          await sleep(wait * (0.5 + Math.random() / 2), undefined, { signal }).catch(() => {});
          wait = Math.min(wait * 2, WAIT_MS.most);
        }
      } finally {
        this.#isCurrent = false;
      }
    }
  }

  async #list(): Promise<void> {
    const { path, schema } = this.#options;
    const listSchema = versionSchema.extend({ items: z.array(schema) });
    const { signal } = this.#stopping;
    const list = await this.#client.request('GET', path, { schema: listSchema, query: this.#query(), signal });
    const present = new Set(list.items.map(({ metadata }) => metadata.name));
    for (const name of [...this.#objects.keys()]) if (!present.has(name)) this.#set(name, undefined);
    for (const item of list.items) this.#set(item.metadata.name, item);
    this.#version = list.metadata.resourceVersion;
  }

  /** Follows the changes for a round. */
  async #follow(): Promise<void> {
    const { path } = this.#options;
    const query = this.#query({
      watch: true,
      allowWatchBookmarks: true,
      timeoutSeconds: ROUND_S,
      resourceVersion: this.#version,
    });
    const silence = new AbortController();
    const signal = AbortSignal.any([this.#stopping.signal, silence.signal]);
    const giveUp = () => silence.abort(new Error('the API server fell silent'));
    const timer = setTimeout(giveUp, ROUND_S * 1000 + SILENCE_LIMIT_MS).unref();
    try {
      const response = await this.#client.open(path, { query, signal });
      this.#isCurrent = true;
      for await (const line of createInterface({ input: response, signal })) if (line) this.#take(line);
      signal.throwIfAborted();
    } finally {
      clearTimeout(timer);
    }
  }

  #query(more: Query = {}): Query {
    return { labelSelector: this.#options.labelSelector, ...more };
  }

  #take(line: string): void {
    const { type, object } = eventSchema.parse(JSON.parse(line));
    if (type === 'ERROR') {
      const status = statusSchema.extend({ code: z.number().optional() }).parse(object);
      throw new ApiRefusal(status.code ?? 500, JSON.stringify(status));
    }
    if (type !== 'BOOKMARK') {
      const item = this.#options.schema.parse(object);
      this.#set(item.metadata.name, type === 'DELETED' ? undefined : item);
    }
    this.#version = versionSchema.parse(object).metadata.resourceVersion;
  }

  #set(name: string, now: T | undefined): void {
    const before = this.#objects.get(name);
    if (before?.metadata.resourceVersion === now?.metadata.resourceVersion) return;
    if (now) this.#objects.set(name, now);
    else this.#objects.delete(name);
    for (const listener of [...this.#listeners]) listener(name, now, before);
  }
}

function tooLate(name: string, timeoutMs: number): GloveboxError {
  return new GloveboxError(
    'engine_unavailable',
    `The pod ${name} did not become as needed within ${timeoutMs / 1000} s.`,
    {
      hint: `Look at it: kubectl describe pod ${name}.`,
    },
  );
}
