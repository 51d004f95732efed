import { randomInt } from 'node:crypto';
import { GloveboxError } from '../../errors.ts';
import type { Log } from '../../log.ts';
import type { Bucket } from '../../s3/bucket.ts';
import { StorageRefusal } from '../../s3/errors.ts';
import type { ArchiveIdentity, ArchiveRecord } from '../record.ts';
import {
  type ArchiveChange,
  type ArchiveFiles,
  BrokenArchive,
  type FileKind,
  nameOf,
  namesOf,
  type Source,
  type SummedFile,
  type WantedRecords,
} from './archive-files.ts';
import { S3Sink, S3Source } from './s3-contents.ts';
import { checkReplaces, generationOf, S3Records, taken } from './s3-records.ts';
import { GRACE_MS, sweep } from './s3-sweep.ts';

/** Numbers of files are random, so that two writers of one archive never write the same file. */
const HIGHEST_NUMBER = 2 ** 47;
/** Copies at once. */
const COPIES = 4;

/** Archives in storage that speaks the protocol of S3, which several control planes may share. */
export class S3Files implements ArchiveFiles {
  readonly #bucket: Bucket;
  readonly #records: S3Records;
  readonly #log: Log;

  /** @param instance name of those control planes whose sessions are listed here */
  constructor(bucket: Bucket, instance: string, log: Log) {
    this.#bucket = bucket;
    this.#records = new S3Records(bucket, instance, log);
    this.#log = log;
  }

  get usedBytes(): number {
    return this.#records.usedBytes;
  }

  get trouble(): GloveboxError | undefined {
    return this.#bucket.trouble;
  }

  async list(wanted: WantedRecords): Promise<readonly ArchiveRecord[]> {
    return await this.#records.list(wanted);
  }

  async open({ id }: Pick<ArchiveRecord, 'id'>, kind: FileKind, file: SummedFile): Promise<Source> {
    return new S3Source(this.#bucket, keyOf(id, nameOf(kind, file.number)), file);
  }

  async change(identity: ArchiveIdentity, previous?: ArchiveRecord): Promise<ArchiveChange> {
    const { id } = identity;
    const number = randomInt(1, HIGHEST_NUMBER);
    const begun = performance.now();
    const created = new Set<string>();
    let superseded: readonly string[] = [];
    return {
      number,
      create: async (kind) => {
        created.add(nameOf(kind, number));
        return new S3Sink(this.#bucket, keyOf(id, nameOf(kind, number)));
      },
      copy: async (from) => {
        for (const name of namesOf(from)) created.add(name);
        await this.#copy(from, id);
      },
      commit: async (record) => {
        // What has waited for so long, garbage collection may take for something that was left.
        if (performance.now() - begun > GRACE_MS / 2)
          throw new GloveboxError('archive_unavailable', 'The archive took half a day to be written.');
        const own = new Set(created);
        // Nobody knows what a failure to write the record means, so the files stay for it until garbage collection.
        created.clear();
        let dropped: readonly string[] = [];
        await this.#records.write(
          this.#records.keyOf(identity),
          (current) => {
            checkReplaces(record, current, { previous, created: own });
            const named = new Set(namesOf(record));
            dropped = current ? namesOf(current).filter((name) => !named.has(name)) : [];
            return record;
          },
          { isNew: previous === undefined },
        );
        superseded = dropped;
        const named = new Set(namesOf(record));
        for (const name of own) if (!named.has(name)) created.add(name);
      },
      [Symbol.asyncDispose]: async () => await this.#deleteAll(id, [...created, ...superseded]),
    };
  }

  async rewrite(record: ArchiveRecord): Promise<void> {
    const { at_rest, lost, lost_with, generation } = record;
    await this.#records.write(this.#records.keyOf(record), (current) => {
      if (!current || generationOf(current) > generationOf(record)) throw taken();
      if (generationOf(current) === generationOf(record) && current.index.number !== record.index.number) throw taken();
      return { ...current, at_rest, lost, lost_with, ...(generation === undefined ? {} : { generation }) };
    });
  }

  async remove(identity: ArchiveIdentity): Promise<void> {
    if (!(await this.#records.remove(identity))) return;
    const names: string[] = [];
    const prefix = keyOf(identity.id, '');
    for await (const { key } of this.#bucket.list(prefix)) names.push(key.slice(prefix.length));
    await this.#deleteAll(identity.id, names);
  }

  async setAside(record: ArchiveRecord): Promise<void> {
    await this.#bucket.put(`broken/${record.id}.json`, Buffer.from(JSON.stringify(record)));
    await this.#records.remove(record);
  }

  async sweep(): Promise<void> {
    await sweep(this.#bucket, this.#records, this.#log);
  }

  async close(): Promise<void> {
    await this.#bucket.close();
  }

  async #copy(from: ArchiveRecord, id: string): Promise<void> {
    const files = [
      { name: nameOf('index', from.index.number), bytes: from.index.bytes },
      ...from.segments.map(({ number, bytes }) => ({ name: nameOf('data', number), bytes })),
    ];
    const copyNext = async (): Promise<void> => {
      for (let file = files.pop(); file; file = files.pop()) {
        const { name, bytes } = file;
        await this.#bucket.copy(keyOf(from.id, name), keyOf(id, name), bytes).catch((error: unknown) => {
          if (!(error instanceof StorageRefusal)) throw error;
          throw new BrokenArchive(`${keyOf(from.id, name)} cannot be copied`, { cause: error });
        });
      }
    };
    await Promise.all(Array.from({ length: COPIES }, copyNext));
  }

  /** Deletes files. What cannot be deleted now, garbage collection does later. */
  async #deleteAll(id: string, names: readonly string[]): Promise<void> {
    if (!this.#bucket.isReachable) return;
    await Promise.all(
      names.map((name) =>
        this.#bucket
          .delete(keyOf(id, name))
          .catch((error: unknown) => this.#log.debug('a file of an archive stays for now', { id, name, error })),
      ),
    );
  }
}

function keyOf(id: string, name: string): string {
  return `files/${id}/${name}`;
}
