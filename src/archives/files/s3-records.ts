import { createHash, randomBytes } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { GloveboxError } from '../../errors.ts';
import type { Log } from '../../log.ts';
import type { Bucket } from '../../s3/bucket.ts';
import { StorageRefusal } from '../../s3/errors.ts';
import { keepsConditions } from '../../s3/try-bucket.ts';
import { type ArchiveIdentity, type ArchiveRecord, readRecord, sizeOf } from '../record.ts';
import { isWanted, namesOf, type WantedRecords } from './archive-files.ts';

/** Records that are kept in memory, with the ETags by which they are known to be current. */
const MOST_KNOWN = 20_000;
/** Records that are read at once. */
const AT_ONCE = 16;
const MOST_ATTEMPTS = 3;

interface Known {
  readonly etag: string;
  readonly record: ArchiveRecord;
}

/** Record as it is in the storage. Without `record` it cannot be read. */
interface Found {
  readonly etag: string;
  readonly record: ArchiveRecord | undefined;
}

/** Makes the next record of the current one. Throws if it may not be replaced. */
type NextRecord = (current: ArchiveRecord | undefined) => ArchiveRecord;

/**
 * Records of archives in a bucket: of the sessions of one instance, and of the snapshots of all. A record is replaced on
 * the condition that it is still the one that this process knows. So of two writers one wins, and the other hears of it.
 */
export class S3Records {
  readonly #bucket: Bucket;
  readonly #instance: string;
  readonly #log: Log;
  readonly #known = new LRUCache<string, Known>({ max: MOST_KNOWN });
  /** Sizes of the archives that are known, in bytes. */
  readonly #sizes = new Map<string, number>();
  /** Last writing of each record, which the next one waits for. */
  readonly #writing = new Map<string, Promise<unknown>>();
  /** Whether the storage replaces on a condition. Undefined: not known yet. */
  #conditional: Promise<boolean> | undefined;

  constructor(bucket: Bucket, instance: string, log: Log) {
    this.#bucket = bucket;
    this.#instance = instance;
    this.#log = log;
  }

  get usedBytes(): number {
    return [...this.#sizes.values()].reduce((sum, bytes) => sum + bytes, 0);
  }

  keyOf({ kind, owner, id }: ArchiveIdentity): string {
    return `${this.#prefixOf(kind, owner)}${id}.json`;
  }

  async list(wanted: WantedRecords): Promise<ArchiveRecord[]> {
    const { kind, owner } = wanted;
    const kinds = kind === undefined ? (['session', 'snapshot'] as const) : [kind];
    const found: ArchiveRecord[] = [];
    for (const each of kinds) {
      const prefix = this.#prefixOf(each, owner);
      const seen = new Set<string>();
      for await (const record of this.#read(prefix, seen)) if (isWanted(record, wanted)) found.push(record);
      for (const key of this.#sizes.keys()) if (key.startsWith(prefix) && !seen.has(key)) this.#forget(key);
    }
    return found;
  }

  /**
   * Reads the records of every instance.
   * @param seen gets the names of all, also of those that cannot be read
   */
  async *all(seen: Set<string>): AsyncGenerator<ArchiveRecord, void, undefined> {
    for (const prefix of ['sessions/', 'snapshots/', 'broken/']) yield* this.#read(prefix, seen);
    for (const key of this.#sizes.keys()) if (!seen.has(key)) this.#forget(key);
  }

  /** Reads all records below a prefix, those that have changed anew. One that cannot be read is left out. */
  async *#read(prefix: string, seen: Set<string>): AsyncGenerator<ArchiveRecord, void, undefined> {
    let batch: Promise<ArchiveRecord | undefined>[] = [];
    for await (const { key, etag } of this.#bucket.list(prefix)) {
      seen.add(key);
      const known = this.#known.get(key);
      batch.push(
        known?.etag === etag ? Promise.resolve(known.record) : this.#load(key).then((loaded) => loaded?.record),
      );
      if (batch.length < AT_ONCE) continue;
      for (const record of await Promise.all(batch)) if (record) yield record;
      batch = [];
    }
    for (const record of await Promise.all(batch)) if (record) yield record;
  }

  /**
   * Replaces a record, or adds one.
   * @param options `isNew`: there is none yet
   * @throws GloveboxError `session_busy` when somebody else has written it since, `archive_unavailable`
   */
  async write(key: string, next: NextRecord, { isNew = false } = {}): Promise<ArchiveRecord> {
    const before = this.#writing.get(key);
    const written = (async () => {
      await before?.catch(() => {});
      return await this.#write(key, next, isNew);
    })();
    this.#writing.set(key, written);
    try {
      return await written;
    } finally {
      if (this.#writing.get(key) === written) this.#writing.delete(key);
    }
  }

  /** Removes a record, unless a later holder has it. Returns whether it is gone. */
  async remove(identity: ArchiveIdentity): Promise<boolean> {
    const key = this.keyOf(identity);
    await this.#writing.get(key)?.catch(() => {});
    const current = await this.#load(key);
    if (current?.record && generationOf(current.record) > generationOf(identity)) return false;
    await this.#bucket.delete(key);
    this.#forget(key);
    return true;
  }

  async #write(key: string, next: NextRecord, isNew: boolean): Promise<ArchiveRecord> {
    const isConditional = await this.#isConditional();
    const known = this.#known.get(key);
    let current: Found | undefined = known ?? (isNew ? undefined : await this.#load(key));
    for (let attempt = 1; ; attempt += 1) {
      if (!isConditional) current = await this.#load(key);
      // One that cannot be read any more is of use to nobody. Whoever knows what it was may replace it.
      const record = next(current ? (current.record ?? known?.record) : undefined);
      const body = Buffer.from(JSON.stringify(record));
      const condition = current ? { etag: current.etag } : ('absent' as const);
      try {
        return this.#enter(key, await this.#bucket.put(key, body, isConditional ? condition : undefined), record);
      } catch (error) {
        if (!(error instanceof StorageRefusal)) throw error;
        const found = await this.#load(key);
        // An earlier attempt had arrived, and its answer was lost.
        if (found?.record && isSame(found.record, record)) return found.record;
        if (attempt === MOST_ATTEMPTS) throw taken(error);
        current = found;
      }
    }
  }

  /** Whether the storage replaces on a condition. Some servers take a condition, and do not look at it. */
  async #isConditional(): Promise<boolean> {
    this.#conditional ??= this.#tryConditions().catch((error: unknown) => {
      this.#conditional = undefined;
      throw error;
    });
    return await this.#conditional;
  }

  async #tryConditions(): Promise<boolean> {
    const key = `try/${randomBytes(8).toString('hex')}`;
    try {
      const isConditional = await keepsConditions(this.#bucket, key);
      if (!isConditional)
        this.#log.warn('the storage of archives does not replace on a condition: two writers may overwrite each other');
      return isConditional;
    } finally {
      if (this.#bucket.isReachable) await this.#bucket.delete(key).catch(() => {});
    }
  }

  /** Reads a record anew. Undefined if there is none. */
  async #load(key: string): Promise<Found | undefined> {
    const object = await this.#bucket.get(key);
    if (!object) {
      this.#forget(key);
      return undefined;
    }
    try {
      const record = readRecord(object.body.toString('utf8'));
      if (!key.endsWith(`/${record.id}.json`)) throw new Error('it has another name');
      this.#enter(key, object.etag, record);
      return { etag: object.etag, record };
    } catch (error) {
      this.#log.error('the record of an archive cannot be read', { record: key, error });
      return { etag: object.etag, record: undefined };
    }
  }

  #enter(key: string, etag: string, record: ArchiveRecord): ArchiveRecord {
    this.#known.set(key, { etag, record });
    this.#sizes.set(key, sizeOf(record));
    return record;
  }

  #forget(key: string): void {
    this.#known.delete(key);
    this.#sizes.delete(key);
  }

  #prefixOf(kind: ArchiveRecord['kind'], owner: string | undefined): string {
    const of = kind === 'session' ? `sessions/${this.#instance}/` : 'snapshots/';
    return owner === undefined ? of : `${of}${createHash('sha256').update(owner).digest('hex').slice(0, 32)}/`;
  }
}

function isSame(one: ArchiveRecord, other: ArchiveRecord): boolean {
  return JSON.stringify(one) === JSON.stringify(readRecord(JSON.stringify(other)));
}

export function generationOf({ generation = 0 }: Pick<ArchiveRecord, 'generation'>): number {
  return generation;
}

/**
 * Checks that a record may replace the current one: its writer is no earlier holder, and has seen what it replaces, or
 * is a later holder whose record names no file that the current one does not.
 * @param created names of the files that its writer has made for it
 * @throws GloveboxError `session_busy`
 */
export function checkReplaces(
  record: ArchiveRecord,
  current: ArchiveRecord | undefined,
  { previous, created }: { readonly previous: ArchiveRecord | undefined; readonly created: ReadonlySet<string> },
): void {
  if (!current) {
    if (previous) throw taken();
    return;
  }
  const [own, its] = [generationOf(record), generationOf(current)];
  if (own < its) throw taken();
  if (previous?.index.number === current.index.number) return;
  const there = new Set([...namesOf(current), ...created]);
  if (own === its || !namesOf(record).every((name) => there.has(name))) throw taken();
}

export function taken(cause?: unknown): GloveboxError {
  return new GloveboxError('session_busy', 'Another control plane has written the archive of this session.', {
    hint: 'Call again: the session is where that control plane has it.',
    cause,
  });
}
