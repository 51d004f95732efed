import { GloveboxError } from '../../errors.ts';
import type { ArchiveIdentity, ArchiveRecord } from '../record.ts';
import type { ArchiveChange, ArchiveFiles, FileKind, Source, SummedFile, WantedRecords } from './archive-files.ts';
import { type ArchiveKey, DecryptingSource, EncryptingSink, encryptedBytes } from './encryption.ts';

/** Archives whose new files are encrypted. Earlier ones that are not, or by an older key, stay readable. */
export class EncryptedFiles implements ArchiveFiles {
  readonly #files: ArchiveFiles;
  readonly #keys: () => readonly ArchiveKey[];

  /** @param keys returns the current keys, the newest last; none: new files are not encrypted */
  constructor(files: ArchiveFiles, keys: () => readonly ArchiveKey[]) {
    this.#files = files;
    this.#keys = keys;
  }

  get usedBytes(): number {
    return this.#files.usedBytes;
  }

  get trouble(): GloveboxError | undefined {
    return this.#files.trouble;
  }

  async list(wanted: WantedRecords): Promise<readonly ArchiveRecord[]> {
    return await this.#files.list(wanted);
  }

  async open(record: Pick<ArchiveRecord, 'id'>, kind: FileKind, file: SummedFile): Promise<Source> {
    if (file.key === undefined) return await this.#files.open(record, kind, file);
    const key = this.#keys().find(({ id }) => id === file.key);
    if (!key) throw noKey(file.key);
    const stored = { ...file, bytes: encryptedBytes(file.bytes) };
    return new DecryptingSource(await this.#files.open(record, kind, stored), key, file.bytes);
  }

  async change(identity: ArchiveIdentity, previous?: ArchiveRecord): Promise<ArchiveChange> {
    const key = this.#keys().at(-1);
    const change = await this.#files.change(identity, previous);
    if (!key) return change;
    return { ...change, create: async (kind) => new EncryptingSink(await change.create(kind), key) };
  }

  rewrite(record: ArchiveRecord, options: { readonly soon: boolean }): Promise<void> | undefined {
    return this.#files.rewrite(record, options);
  }

  async remove(record: ArchiveIdentity): Promise<void> {
    await this.#files.remove(record);
  }

  async setAside(record: ArchiveRecord): Promise<void> {
    await this.#files.setAside(record);
  }

  async sweep(): Promise<void> {
    await this.#files.sweep();
  }

  async close(): Promise<void> {
    await this.#files.close();
  }
}

function noKey(id: string): GloveboxError {
  return new GloveboxError(
    'archive_unavailable',
    `An archive is encrypted by the key ${id}, which this server does not have.`,
    {
      hint: 'Nothing is lost. The operator adds that key to the file of GLOVEBOX_ARCHIVE_KEY_FILE, before the newest one.',
    },
  );
}
