import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { type AuditLine, type Chain, FIRST_LINK, type Link } from './chain.ts';
import { earlierFile, earlierFiles, lastOf, readTail, shiftFiles } from './files.ts';

/** Time in milliseconds between two looks whether the file is still the one that has this name. */
const LOOK_MS = 1000;

export interface LogFileOptions {
  readonly path: string;
  readonly chain: Chain;
  /** Size in bytes from which a new file is begun. */
  readonly maxBytes: number;
  /** Number of earlier files that are kept. */
  readonly maxFiles: number;
  /** Whether lines must be on the disk, and not only with the system. */
  readonly isSynced: boolean;
}

/** What was found of an earlier run, as its next line tells it. */
export interface Found {
  readonly after: 'nothing' | 'stop' | 'crash' | 'broken';
  readonly cut_bytes?: number;
  readonly cut_sha256?: string;
}

/** The file of a log, and the chain over all of its files. One write at a time. */
export class LogFile {
  readonly #options: LogFileOptions;
  #handle: FileHandle | undefined;
  #size = 0;
  #link: Link = FIRST_LINK;
  /** Whether there may be a part of a batch beyond the size. */
  #isDirty = false;
  #lookedAt = 0;

  constructor(options: LogFileOptions) {
    this.#options = options;
  }

  /** Opens it, continues its chain, and cuts off a line that is there in part. */
  async open(): Promise<Found> {
    const { path, chain } = this.#options;
    const handle = await openFile(path);
    try {
      const { size, halfLine, last } = await readTail(handle, chain);
      const before = size > 0 ? last : await this.#lastEarlier();
      if (before) this.#link = before;
      this.#size = size - halfLine.length;
      if (halfLine.length > 0) await handle.truncate(this.#size);
      this.#handle = handle;
      this.#lookedAt = Date.now();
      return { after: stateAfter(before, this.#size), ...describeCut(halfLine) };
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /** Appends lines. When that fails, it is as if nothing had been written. */
  async append(entries: readonly object[]): Promise<void> {
    const told: object[] = [];
    if (await this.#isReplaced()) told.push({ event: 'reopened', ...(await this.#reopen()) });
    if (this.#size >= this.#options.maxBytes) await this.#rotate();
    await this.#write([...told, ...entries]);
  }

  async close(): Promise<void> {
    await this.#handle?.close();
    this.#handle = undefined;
  }

  async #write(entries: readonly object[]): Promise<void> {
    const handle = this.#opened();
    if (this.#isDirty) await handle.truncate(this.#size);
    let link = this.#link;
    const lines = entries.map((entry) => {
      const sealed = this.#options.chain.seal(link, entry);
      link = sealed.link;
      return sealed.line;
    });
    const bytes = Buffer.from(lines.join(''));
    this.#isDirty = true;
    for (let written = 0; written < bytes.length; ) {
      written += (await handle.write(bytes, written, bytes.length - written, this.#size + written)).bytesWritten;
    }
    if (this.#options.isSynced) await handle.datasync();
    this.#isDirty = false;
    this.#size += bytes.length;
    this.#link = link;
  }

  /** Before files are removed, the log says so: what is missing otherwise has been taken away. */
  async #rotate(): Promise<void> {
    const { path, chain, maxFiles } = this.#options;
    const removed = (await earlierFiles(path)).filter((number) => number >= maxFiles);
    const ends = await Promise.all(removed.map((number) => lastOf(earlierFile(path, number), chain)));
    const through = Math.max(0, ...ends.map((end) => end?.seq ?? 0));
    await this.#write([
      { event: 'rotate', at: new Date().toISOString(), ...(through > 0 ? { removes_through: through } : {}) },
    ]);
    await shiftFiles(path, maxFiles);
    const earlier = this.#opened();
    this.#handle = undefined;
    await earlier.close();
    this.#handle = await openFile(path);
    this.#size = 0;
  }

  async #lastEarlier(): Promise<AuditLine | undefined> {
    const { path, chain } = this.#options;
    const [newest] = await earlierFiles(path);
    return newest === undefined ? undefined : await lastOf(earlierFile(path, newest), chain);
  }

  /** Whether the file has been moved, removed, or written by another: what is written then would be lost. */
  async #isReplaced(): Promise<boolean> {
    if (!this.#handle) return true;
    if (Date.now() - this.#lookedAt < LOOK_MS) return false;
    this.#lookedAt = Date.now();
    const here = await stat(this.#options.path).catch(() => undefined);
    const own = await this.#handle.stat();
    return here?.ino !== own.ino || (!this.#isDirty && own.size !== this.#size);
  }

  /** Goes on in the file that has the name now. The chain stays this one's. */
  async #reopen(): Promise<{ at: string } & Found> {
    const link = this.#link;
    await this.close();
    const found = await this.open();
    this.#link = link;
    this.#isDirty = false;
    return { at: new Date().toISOString(), ...found };
  }

  #opened(): FileHandle {
    if (!this.#handle) throw new Error('The audit log is closed.');
    return this.#handle;
  }
}

async function openFile(path: string): Promise<FileHandle> {
  return await open(path, constants.O_RDWR | constants.O_CREAT, 0o600);
}

function stateAfter(before: AuditLine | undefined, size: number): Found['after'] {
  if (!before) return size > 0 ? 'broken' : 'nothing';
  if (!before.isGenuine) return 'broken';
  return before.fields['event'] === 'stop' ? 'stop' : 'crash';
}

function describeCut(halfLine: Buffer): Partial<Found> {
  if (halfLine.length === 0) return {};
  return { cut_bytes: halfLine.length, cut_sha256: createHash('sha256').update(halfLine).digest('hex') };
}
