import { z } from 'zod';
import { GloveboxError } from '../../../errors.ts';
import type { Log } from '../../../log.ts';
import { type OnSessionChange, SessionDamaged, type SharedSession } from '../../../state/state.ts';
import { refusalOf } from '../api/answer.ts';
import type { KubernetesClient } from '../api/client.ts';
import { Watch } from '../api/watch.ts';
import { recordPath, STATE_LABELS, selectorOf } from './names.ts';
import { type KnownRecord, type RecordObject, readRecord, recordSchema } from './record.ts';

/** Removed records that are remembered, so that a late answer does not bring one back. */
const MOST_GONE = 10_000;
/** Longest wait for an answer, in milliseconds. */
const ANSWER_MS = 5000;

const someSchema = z.object({ items: z.array(z.unknown()) });

export interface RecordsOptions {
  readonly client: KubernetesClient;
  readonly group: string;
  readonly log: Log;
}

/** The records of a group's sessions, as the watch and the answers to own writes tell of them: the newest counts. */
export class Records implements Disposable {
  readonly #options: RecordsOptions;
  readonly #known = new Map<string, KnownRecord>();
  /** Sessions by their owners and the names of their records. */
  readonly #byOwner = new Map<string, Map<string, SharedSession>>();
  /** Uids of removed records, the oldest first. */
  readonly #gone = new Set<string>();
  readonly #listeners = new Set<OnSessionChange>();
  #watch: Watch<RecordObject> | undefined;

  constructor(options: RecordsOptions) {
    this.#options = options;
  }

  /** Lists all records, and watches them from then on; anew, if it did before. @throws GloveboxError `engine_unavailable` */
  async watch(): Promise<void> {
    this.#watch?.[Symbol.dispose]();
    const { client, group, log } = this.#options;
    const path = recordPath(client.namespace);
    const watch = await Watch.start(client, { path, labelSelector: selectorOf(group), schema: recordSchema, log });
    this.#watch = watch;
    for (const [name, { object }] of [...this.#known]) if (!watch.get(name)) this.drop(name, object.metadata.uid);
    for (const object of watch.values()) this.take(object);
    watch.onChange((name, now, before) => {
      if (before && before.metadata.uid !== now?.metadata.uid) this.drop(name, before.metadata.uid);
      if (now) this.take(now);
    });
  }

  get(name: string): KnownRecord | undefined {
    return this.#known.get(name);
  }

  of(owner: string): readonly SharedSession[] {
    return [...(this.#byOwner.get(owner)?.values() ?? [])];
  }

  all(): readonly SharedSession[] {
    return [...this.#known.values()].flatMap(({ session }) => session ?? []);
  }

  onChange(listener: OnSessionChange): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => this.#listeners.delete(listener) };
  }

  /** Reads a record as it is. @throws GloveboxError `engine_unavailable` */
  async read(name: string): Promise<KnownRecord | undefined> {
    const { client } = this.#options;
    const before = this.#known.get(name);
    try {
      const path = recordPath(client.namespace, name);
      return this.take(await client.request('GET', path, { schema: recordSchema, timeoutMs: ANSWER_MS }));
    } catch (error) {
      if (!isAbsent(error)) throw error;
      if (before) this.drop(name, before.object.metadata.uid);
      return undefined;
    }
  }

  /**
   * Whether a record, which may be damaged, names a sandbox. Asks the cluster: what was written before is seen.
   * @throws GloveboxError `engine_unavailable`
   */
  async isNamed(key: string): Promise<boolean> {
    if (this.all().some(({ saved }) => saved?.key === key)) return true;
    const { client, group } = this.#options;
    const labelSelector = `${selectorOf(group)},${STATE_LABELS.sandbox}=${key}`;
    const query = { labelSelector, limit: '1' };
    const path = recordPath(client.namespace);
    const { items } = await client.request('GET', path, { query, schema: someSchema, timeoutMs: ANSWER_MS });
    return items.length > 0;
  }

  /** Takes note of a record, unless a newer one is known. Returns the newest. */
  take(object: RecordObject): KnownRecord {
    const { name, uid, resourceVersion } = object.metadata;
    const before = this.#known.get(name);
    if (before && (this.#gone.has(uid) || !isNewer(resourceVersion, before.object.metadata.resourceVersion)))
      return before;
    const known = readRecord(this.#options.group, object);
    if (this.#gone.has(uid)) return known;
    this.#known.set(name, known);
    this.#tellDamage(known, before);
    this.#change(name, known.session, before?.session);
    return known;
  }

  /** Takes note that a record is gone. */
  drop(name: string, uid: string): void {
    this.#gone.add(uid);
    if (this.#gone.size > MOST_GONE) for (const oldest of [...this.#gone].slice(0, 1)) this.#gone.delete(oldest);
    const before = this.#known.get(name);
    if (before?.object.metadata.uid !== uid) return;
    this.#known.delete(name);
    this.#change(name, undefined, before.session);
  }

  [Symbol.dispose](): void {
    this.#watch?.[Symbol.dispose]();
    this.#listeners.clear();
  }

  #tellDamage({ object, problem }: KnownRecord, before: KnownRecord | undefined): void {
    if (problem === undefined || before?.problem !== undefined) return;
    this.#options.log.error('the record of a session is damaged, and is left as it is', {
      record: object.metadata.name,
      namespace: this.#options.client.namespace,
      damaged: problem,
    });
  }

  #change(name: string, now: SharedSession | undefined, before: SharedSession | undefined): void {
    if (before && before.owner !== now?.owner) {
      const others = this.#byOwner.get(before.owner);
      others?.delete(name);
      if (others?.size === 0) this.#byOwner.delete(before.owner);
    }
    if (now) {
      const same = this.#byOwner.get(now.owner) ?? new Map<string, SharedSession>();
      this.#byOwner.set(now.owner, same.set(name, now));
    }
    if (now || before) for (const listener of [...this.#listeners]) listener(now, before);
  }
}

/** The session of a record. @throws SessionDamaged */
export function sessionOf(known: KnownRecord, id: string): SharedSession {
  if (known.session) return known.session;
  const { name } = known.object.metadata;
  throw new SessionDamaged(
    id,
    known.problem ?? 'unreadable',
    `The operator of this server must mend the record ${name}, or remove it: kubectl get sessions.glovebox.dev ${name} -o yaml.`,
  );
}

/** Whether there is no such object. Where the API server does not know its kind, it names none. */
export function isAbsent(error: unknown): boolean {
  const refusal = refusalOf(error);
  const isGone = error instanceof GloveboxError && error.code === 'sandbox_lost';
  return isGone || (refusal?.statusCode === 404 && refusal.details?.name !== undefined);
}

/** Compares the numbers of two states: versions count up over all objects of a cluster. */
function isNewer(one: string, other: string): boolean {
  return one.length === other.length ? one > other : one.length > other.length;
}
