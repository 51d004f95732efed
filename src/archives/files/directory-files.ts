import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, readSync, rmSync } from 'node:fs';
import { copyFile, link, mkdir, open, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { replaceFile } from '../../lib/replace-file.ts';
import { type ArchiveIdentity, type ArchiveRecord, readRecord, sizeOf } from '../record.ts';
import {
  type ArchiveChange,
  type ArchiveFiles,
  BrokenArchive,
  type FileKind,
  isWanted,
  nameOf,
  namesOf,
  plainSum,
  type Sink,
  type Source,
  type SummedFile,
  type WantedRecords,
} from './archive-files.ts';

const RECORD = 'archive.json';
/** Size up to which a file is read synchronously, in bytes. On a busy machine, the thread pool takes longer. */
const SMALL_BYTES = 2 * 1024 * 1024;

/**
 * Archives on the control plane's own disk, each in a folder. Two archives may share files as hard links. Files that no
 * record names are removed at the start.
 */
export class DirectoryFiles implements ArchiveFiles {
  readonly #directory: string;
  readonly #records = new Map<string, ArchiveRecord>();
  #usedBytes = 0;

  constructor(directory: string) {
    this.#directory = directory;
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    for (const id of readdirSync(directory)) this.#load(id);
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }

  async list(wanted: WantedRecords): Promise<readonly ArchiveRecord[]> {
    return [...this.#records.values()].filter((record) => isWanted(record, wanted));
  }

  async open(record: Pick<ArchiveRecord, 'id'>, kind: FileKind, file: SummedFile): Promise<Source> {
    const path = join(this.#pathOf(record.id), nameOf(kind, file.number));
    return file.bytes <= SMALL_BYTES ? openSmall(path) : await openLarge(path);
  }

  async change({ id }: ArchiveIdentity, previous?: ArchiveRecord): Promise<ArchiveChange> {
    const path = this.#pathOf(id);
    const number = (previous?.index.number ?? 0) + 1;
    await mkdir(path, { recursive: true, mode: 0o700 });
    return {
      number,
      create: async (kind) => await createFile(join(path, nameOf(kind, number))),
      copy: async (from) => {
        for (const name of namesOf(from)) {
          const [source, target] = [join(this.#pathOf(from.id), name), join(path, name)];
          await link(source, target).catch(() => copyFile(source, target));
        }
      },
      commit: (record, options) => this.#commit(record, options),
      [Symbol.asyncDispose]: () => this.#tidy(id),
    };
  }

  rewrite(record: ArchiveRecord, { soon }: { readonly soon: boolean }): undefined {
    if (!this.#records.has(record.id)) return;
    this.#enter(record.id, record);
    if (soon) setImmediate(() => this.#rewrite(record.id));
    else this.#rewrite(record.id);
  }

  async remove({ id }: ArchiveIdentity): Promise<void> {
    this.#enter(id);
    await this.#tidy(id);
  }

  async setAside(record: ArchiveRecord): Promise<void> {
    await this.remove(record);
  }

  /** Nothing: the start has removed it. */
  async sweep(): Promise<void> {}

  async close(): Promise<void> {}

  #commit(record: ArchiveRecord, options: { readonly flush: boolean }): void {
    replaceFile(join(this.#pathOf(record.id), RECORD), JSON.stringify(record), options);
    this.#enter(record.id, record);
  }

  /** Writes the current record. */
  #rewrite(id: string): void {
    const record = this.#records.get(id);
    try {
      if (record) this.#commit(record, { flush: false });
    } catch {
      // The disk is full. The old record on disk is outdated, but safe to restart from.
    }
  }

  #enter(id: string, record?: ArchiveRecord): void {
    const former = this.#records.get(id);
    this.#usedBytes += (record ? sizeOf(record) : 0) - (former ? sizeOf(former) : 0);
    if (record) this.#records.set(id, record);
    else this.#records.delete(id);
  }

  /** Loads the record of an archive. Removes the archive if the record cannot be read, because its owner is unknown. */
  #load(id: string): void {
    try {
      const record = readRecord(readFileSync(join(this.#pathOf(id), RECORD), 'utf8'));
      if (record.id !== id || record.passing) throw new BrokenArchive('it was temporary, or has another name');
      this.#enter(id, record);
      const named = new Set([RECORD, ...namesOf(record)]);
      for (const name of readdirSync(this.#pathOf(id)))
        if (!named.has(name)) rmSync(join(this.#pathOf(id), name), { recursive: true, force: true });
    } catch {
      rmSync(this.#pathOf(id), { recursive: true, force: true });
    }
  }

  /** Removes the files that the record does not name, or the whole folder if there is no record. */
  async #tidy(id: string): Promise<void> {
    const path = this.#pathOf(id);
    const record = this.#records.get(id);
    if (!record) return await rm(path, { recursive: true, force: true });
    const named = new Set([RECORD, ...namesOf(record)]);
    for (const name of await readdir(path)) if (!named.has(name)) await rm(join(path, name), { force: true });
  }

  #pathOf(id: string): string {
    return join(this.#directory, id);
  }
}

async function createFile(path: string): Promise<Sink> {
  const file = await open(path, 'wx', 0o600);
  return {
    sum: plainSum,
    write: (piece) => file.writeFile(piece),
    finish: async () => {
      await file.datasync();
      return {};
    },
    [Symbol.asyncDispose]: () => file.close(),
  };
}

async function openLarge(path: string): Promise<Source> {
  const file = await open(path, 'r').catch(unreadable(path));
  return {
    name: path,
    sum: plainSum,
    read: async (buffer, at) => (await file.read(buffer, 0, buffer.length, at).catch(unreadable(path))).bytesRead,
    [Symbol.asyncDispose]: () => file.close(),
  };
}

/** Opens a file for synchronous reading, without the thread pool. */
function openSmall(path: string): Source {
  const file = trying(path, () => openSync(path, 'r'));
  return {
    name: path,
    sum: plainSum,
    read: async (buffer, at) => trying(path, () => readSync(file, buffer, 0, buffer.length, at)),
    [Symbol.asyncDispose]: async () => closeSync(file),
  };
}

function trying<T>(path: string, act: () => T): T {
  try {
    return act();
  } catch (cause) {
    return unreadable(path)(cause);
  }
}

function unreadable(path: string): (cause: unknown) => never {
  return (cause) => {
    throw new BrokenArchive(`${path} cannot be read`, { cause });
  };
}
