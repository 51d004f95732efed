import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import { GloveboxError } from '../../../errors.ts';
import { ConcurrencyLimit } from '../../../lib/concurrency-limit.ts';
import {
  ClaimLost,
  HoldLost,
  type SavedSession,
  SessionDamaged,
  SessionExists,
  type SharedSession,
} from '../../../state/state.ts';
import { refusalOf, statusOf } from '../api/answer.ts';
import type { KubernetesClient, Method } from '../api/client.ts';
import { recordName, recordPath } from './names.ts';
import { type KnownRecord, type RecordObject, recordSchema, writeRecord } from './record.ts';
import { isAbsent, type Records, sessionOf } from './records.ts';

/** Attempts of a write whose answer was lost, or that another write was faster than. */
const MOST_ATTEMPTS = 5;
/** Longest wait for an answer, in milliseconds. */
const ANSWER_MS = 5000;
/**
 * Writes under way at once. The others wait here, and not for a connection: the renewal of the lease needs one in time, or
 * all sessions are lost to this control plane.
 */
const AT_ONCE = 16;
const CONFLICT = 409;

export interface WriterOptions {
  readonly client: KubernetesClient;
  readonly group: string;
  readonly records: Records;
  /** Name of this run. @throws HoldLost if its lease ran out */
  readonly self: (id: string) => string;
  /** Whether a run is over. */
  readonly isDead: (name: string) => Promise<boolean>;
  /** Marks a sandbox as that of a record, before the record no longer names it. @throws GloveboxError `engine_unavailable` */
  readonly mark: (record: RecordObject, ref: string) => Promise<void>;
}

/** What to do with a record as it is now: write it, remove it, or nothing because it is done. */
type Decision = { readonly write: SharedSession } | 'remove' | 'done';

/**
 * Writes records, each on the condition that it is as it was read. Whoever is faster has written; the other reads again, and
 * decides anew. Where an answer is lost, the record tells whether it was written.
 */
export class Writer {
  readonly #options: WriterOptions;
  /** Ends of the last writes, by record. One at a time: two would only conflict. */
  readonly #last = new Map<string, Promise<unknown>>();
  readonly #places = new ConcurrencyLimit(AT_ONCE, ANSWER_MS);

  constructor(options: WriterOptions) {
    this.#options = options;
  }

  async create(wanted: Pick<SharedSession, 'owner' | 'id' | 'saved' | 'createdAt'>): Promise<SharedSession> {
    const { owner, id } = wanted;
    const { client, group, records } = this.#options;
    const name = recordName(group, owner, id);
    return await this.#inTurn(name, async () => {
      const holder = this.#options.self(id);
      const session = { ...wanted, generation: 1, holder };
      const body = writeRecord(group, session);
      const made = await this.#persist(async () => {
        const path = recordPath(client.namespace);
        return records.take(await this.#request('POST', path, body, recordSchema));
      }, name);
      const { createdAt } = session;
      const present = made && sessionOf(made, id);
      const isOwn = present?.holder === holder && present.createdAt.getTime() === createdAt.getTime();
      if (!present || !isOwn) throw present ? new SessionExists(present) : new HoldLost(id);
      this.#assertStill(holder, id);
      return present;
    });
  }

  async claim({ owner, id }: SharedSession): Promise<SharedSession> {
    const holder = this.#options.self(id);
    let sent: number | undefined;
    const claimed = await this.#change(owner, id, async (current) => {
      if (!current) throw new ClaimLost(id, undefined);
      if (current.holder === holder && current.generation === sent) return 'done';
      const isHeld = current.holder !== undefined && current.holder !== holder;
      if (isHeld && !(await this.#options.isDead(current.holder))) throw new ClaimLost(id, current);
      sent = current.generation + 1;
      return { write: { ...current, holder, generation: sent } };
    });
    this.#assertStill(holder, id);
    return claimed ?? lost(id);
  }

  async save(session: SharedSession, saved: SavedSession): Promise<SharedSession> {
    const { owner, id } = session;
    const holder = this.#options.self(id);
    const written = await this.#change(owner, id, (current) => {
      const held = assertHeld(current, session, holder);
      return isDeepStrictEqual(held.saved, saved) ? 'done' : { write: { ...held, saved } };
    });
    this.#assertStill(holder, id);
    return written ?? lost(id);
  }

  async release(session: SharedSession, saved: SavedSession): Promise<void> {
    const { owner, id } = session;
    const holder = this.#options.self(id);
    let sent = false;
    await this.#change(owner, id, (current) => {
      // The answer was lost, and another may have claimed it since.
      if (sent && current?.holder !== holder) return 'done';
      const held = assertHeld(current, session, holder);
      sent = true;
      return { write: { ...held, holder: undefined, saved } };
    });
  }

  async remove(session: SharedSession): Promise<void> {
    const { owner, id } = session;
    const holder = this.#options.self(id);
    await this.#change(owner, id, (current) => {
      if (!current) return 'done';
      assertHeld(current, session, holder);
      return 'remove';
    });
  }

  /** Changes a record as is decided on how it is now, until that is done. Returns what it is then. */
  async #change(
    owner: string,
    id: string,
    decide: (current: SharedSession | undefined) => Decision | Promise<Decision>,
  ): Promise<SharedSession | undefined> {
    const { group, records } = this.#options;
    const name = recordName(group, owner, id);
    return await this.#inTurn(name, async () => {
      let known = records.get(name);
      // What the watch has told may be behind.
      let isRead = known === undefined;
      known ??= await records.read(name);
      for (let attempt = 1; ; attempt += 1) {
        try {
          const current = known && sessionOf(known, id);
          const decision = await decide(current);
          if (decision === 'done') return current;
          // The lease may have ended meanwhile.
          this.#options.self(id);
          if (known) await this.#markUnnamed(known, decision);
          return (await this.#send(decision, known))?.session;
        } catch (error) {
          const mayPass = isDecided(error) ? !isRead : isRefusedAsOld(error) || isUnanswered(error);
          if (!mayPass || attempt === MOST_ATTEMPTS) throw error;
        }
        known = await records.read(name);
        isRead = true;
      }
    });
  }

  /** A sandbox that a session had is known by its record, or by its mark, until it is gone. */
  async #markUnnamed({ object, session }: KnownRecord, decision: Exclude<Decision, 'done'>): Promise<void> {
    const ref = session?.saved?.ref;
    const isNamedStill = decision !== 'remove' && decision.write.saved?.ref === ref;
    if (ref !== undefined && !isNamedStill) await this.#options.mark(object, ref);
  }

  async #send(decision: Exclude<Decision, 'done'>, known: KnownRecord | undefined): Promise<KnownRecord | undefined> {
    const { client, group, records } = this.#options;
    const { name, uid, resourceVersion } = known?.object.metadata ?? {};
    const path = recordPath(client.namespace, name);
    if (decision === 'remove') {
      const body = { apiVersion: 'v1', kind: 'DeleteOptions', preconditions: { uid, resourceVersion } };
      await this.#request('DELETE', path, body, z.unknown());
      if (name !== undefined && uid !== undefined) records.drop(name, uid);
      return undefined;
    }
    const body = writeRecord(group, decision.write, known?.object);
    return records.take(await this.#request('PUT', path, body, recordSchema));
  }

  async #request<T>(method: Method, path: string, body: object, schema: z.ZodType<T>): Promise<T> {
    const { client } = this.#options;
    return await this.#places.run(() => client.request(method, path, { body, schema, timeoutMs: ANSWER_MS }));
  }

  /** Makes a record. Returns the one that is there then, if another was faster. */
  async #persist(make: () => Promise<KnownRecord>, name: string): Promise<KnownRecord | undefined> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await make();
      } catch (error) {
        if (!(isRefusedAsOld(error) || isUnanswered(error)) || attempt === MOST_ATTEMPTS) throw error;
        const known = await this.#options.records.read(name);
        if (known) return known;
      }
    }
  }

  /** @throws HoldLost if the lease that a write was made under has ended since */
  #assertStill(holder: string, id: string): void {
    if (this.#options.self(id) !== holder) throw new HoldLost(id);
  }

  async #inTurn<T>(name: string, write: () => Promise<T>): Promise<T> {
    const before = this.#last.get(name);
    const writing = (before ?? Promise.resolve()).then(write, write);
    this.#last.set(name, writing);
    try {
      return await writing;
    } finally {
      if (this.#last.get(name) === writing) this.#last.delete(name);
    }
  }
}

function assertHeld(current: SharedSession | undefined, session: SharedSession, holder: string): SharedSession {
  const isHeld = current?.holder === holder && current.generation === session.generation;
  if (!current || !isHeld) throw new HoldLost(session.id);
  return current;
}

function lost(id: string): never {
  throw new HoldLost(id);
}

/** Whether a write was not even tried. */
function isDecided(error: unknown): boolean {
  return error instanceof ClaimLost || error instanceof HoldLost || error instanceof SessionDamaged;
}

/** Whether the record is no longer as it was read, or there. */
function isRefusedAsOld(error: unknown): boolean {
  return statusOf(error) === CONFLICT || isAbsent(error);
}

/** Whether it is not known if the write had an effect. */
function isUnanswered(error: unknown): boolean {
  const refusal = refusalOf(error);
  if (refusal) return refusal.statusCode >= 500;
  return error instanceof GloveboxError && error.code === 'engine_unavailable';
}
