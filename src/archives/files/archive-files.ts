import { createHash } from 'node:crypto';
import type { GloveboxError } from '../../errors.ts';
import type { ArchiveIdentity, ArchiveRecord } from '../record.ts';

/** Name, size and checksum of a file, as in a record. */
export type SummedFile = ArchiveRecord['segments'][number];

export type FileKind = 'data' | 'index';

/** Computes a checksum. */
export interface Checksum {
  update(data: Uint8Array): unknown;
  digest(encoding: 'hex'): string;
}

/** Open file. */
export interface Source extends AsyncDisposable {
  /** Names it in messages. */
  readonly name: string;
  /** Begins the checksum that its record has. */
  sum(): Checksum;
  /**
   * Fills a buffer from an offset of the file. Returns the number of bytes read, 0 at its end.
   * @throws BrokenArchive when the file cannot be read, GloveboxError when its storage cannot be reached
   */
  read(buffer: Buffer, at: number): Promise<number>;
}

/** New file. If it is disposed of before it is finished, it need not exist. */
export interface Sink extends AsyncDisposable {
  /** Begins the checksum that its record has. */
  sum(): Checksum;
  /** Writes the next piece, which the caller may reuse afterwards. */
  write(piece: Buffer): Promise<void>;
  /** Has the storage keep the file, also after a crash. Returns what its record says of it besides. */
  finish(): Promise<Pick<SummedFile, 'parts' | 'key'>>;
}

/** A change of one archive. Disposing of it removes the files that no record names. */
export interface ArchiveChange extends AsyncDisposable {
  /** Number of its new files. */
  readonly number: number;
  create(kind: FileKind): Promise<Sink>;
  /** Has the files of another archive in this one as well. */
  copy(from: ArchiveRecord): Promise<void>;
  /**
   * Replaces the record, which is atomic. The record counts when this returns, or its promise resolves.
   * @param options `flush`: the record names new files
   * @throws GloveboxError `session_busy` when somebody else has written the archive
   */
  commit(record: ArchiveRecord, options: { readonly flush: boolean }): void | Promise<void>;
}

/** Archives that are looked for. Left out: any. */
export type WantedRecords = Partial<Pick<ArchiveRecord, 'kind' | 'owner'>>;

/** Where archives are kept: a folder of this machine, or storage that is reached over a network. */
export interface ArchiveFiles {
  /** Bytes of all archives, as far as is known. */
  readonly usedBytes: number;
  /** What fails at the storage now, as far as requests have shown. Undefined: nothing. */
  readonly trouble?: GloveboxError | undefined;
  list(wanted: WantedRecords): Promise<readonly ArchiveRecord[]>;
  open(record: Pick<ArchiveRecord, 'id'>, kind: FileKind, file: SummedFile): Promise<Source>;
  /** @param previous the record that the change is based on */
  change(identity: ArchiveIdentity, previous?: ArchiveRecord): Promise<ArchiveChange>;
  /**
   * Replaces a record whose files stay.
   * @returns the time when that survives a crash. Undefined: it does already, or need not
   */
  rewrite(record: ArchiveRecord, options: { readonly soon: boolean }): Promise<void> | undefined;
  remove(record: ArchiveIdentity): Promise<void>;
  /** Takes a broken archive out of use. Where its contents might still be had, they stay for a while. */
  setAside(record: ArchiveRecord): Promise<void>;
  /** Removes what control planes that ended have left. */
  sweep(): Promise<void>;
  close(): Promise<void>;
}

/** Error of an archive that differs from what was written. */
export class BrokenArchive extends Error {}

export function plainSum(): Checksum {
  return createHash('sha256');
}

/** Names of the files of an archive. */
export function namesOf({ index, segments }: ArchiveRecord): string[] {
  return [nameOf('index', index.number), ...segments.map(({ number }) => nameOf('data', number))];
}

export function nameOf(kind: FileKind, number: number): string {
  return `${number}.${kind}`;
}

export function isWanted(record: ArchiveRecord, { kind, owner }: WantedRecords): boolean {
  return (kind === undefined || record.kind === kind) && (owner === undefined || record.owner === owner);
}
