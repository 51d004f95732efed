import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { type Entry, fromRandomAccessReaderPromise, RandomAccessReader, type ZipFile } from 'yauzl';

/** Reads `length` bytes from position `start`; fewer at the end of the file. */
export type ReadAt = (start: number, length: number) => Promise<Buffer>;

/**
 * Bytes to read at once. yauzl reads each entry of a directory by itself, which would be one web request for each.
 * The size doubles when the reads follow each other.
 */
const WINDOW_BYTES = 256 * 1024;
/** Bytes of one file to read at most. The directory of a wheel with ten thousand files takes about 1 MiB. */
const MOST_BYTES = 32 * 1024 * 1024;
/** Entries of a zip directory that are read at most. */
const MOST_ENTRIES = 100_000;
const METADATA_NAME = /^[^/]+\.dist-info\/METADATA$/;

/**
 * Reads the METADATA of a wheel (`<name>-<version>.dist-info/METADATA`) by random access (APPNOTE.TXT 4.3).
 * Undefined when the file is not a zip file, is damaged or encrypted, or is compressed as no installer can read it.
 * @throws what `read` throws
 */
export async function readWheelMetadata(size: number, read: ReadAt, limitBytes: number): Promise<Buffer | undefined> {
  return await withZip(size, read, async (zip) => {
    const entry = await findMetadata(zip);
    if (!entry || entry.compressedSize > limitBytes || entry.uncompressedSize > limitBytes) return undefined;
    // The stream fails when the data is larger than the entry says.
    return await buffer(await zip.openReadStreamPromise(entry));
  });
}

/**
 * Size in bytes of the files in a zip file once unpacked, as its directory says. Undefined when it is not a zip file.
 * @throws what `read` throws
 */
export async function readUnpackedSize(size: number, read: ReadAt): Promise<number | undefined> {
  return await withZip(size, read, async (zip) => {
    let total = 0;
    for await (const { uncompressedSize } of zip.eachEntry()) total += uncompressedSize;
    return Number.isSafeInteger(total) ? total : undefined;
  });
}

async function withZip<T>(size: number, read: ReadAt, use: (zip: ZipFile) => Promise<T>): Promise<T | undefined> {
  const reader = new WindowReader(size, read);
  try {
    // There is nothing to close.
    const zip = await fromRandomAccessReaderPromise(reader, size, { autoClose: false });
    return zip.entryCount > MOST_ENTRIES ? undefined : await use(zip);
  } catch {
    if (reader.failure !== undefined) throw reader.failure;
    return undefined;
  }
}

async function findMetadata(zip: ZipFile): Promise<Entry | undefined> {
  for await (const entry of zip.eachEntry()) {
    if (METADATA_NAME.test(entry.fileName)) return entry;
  }
  return undefined;
}

/** Reads bytes of a file for yauzl, from the window that was read last if they are in it. */
class WindowReader extends RandomAccessReader {
  /** Error that `read` threw. */
  failure: unknown;
  readonly #size: number;
  readonly #read: ReadAt;
  #window: { start: number; content: Buffer } = { start: 0, content: Buffer.alloc(0) };
  #windowBytes = WINDOW_BYTES;
  #bytesLeft = MOST_BYTES;

  constructor(size: number, read: ReadAt) {
    super();
    this.#size = size;
    this.#read = read;
  }

  override read(
    target: Buffer,
    offset: number,
    length: number,
    position: number,
    callback: (error: Error | null, bytesRead?: number) => void,
  ): void {
    this.#bytes(position, length).then(
      (bytes) => callback(null, bytes.copy(target, offset)),
      (error: unknown) => callback(error instanceof Error ? error : new Error(String(error))),
    );
  }

  override _readStreamForRange(start: number, end: number): Readable {
    return Readable.from(this.#chunks(start, end));
  }

  async *#chunks(start: number, end: number): AsyncGenerator<Buffer, void, undefined> {
    yield await this.#bytes(start, end - start);
  }

  /** Reads bytes; fewer than `length` at the end of the file. */
  async #bytes(start: number, length: number): Promise<Buffer> {
    const { start: from, content } = this.#window;
    if (start >= from && start + length <= from + content.length) {
      return content.subarray(start - from, start - from + length);
    }
    const follows = start >= from && start <= from + content.length;
    this.#windowBytes = follows ? this.#windowBytes * 2 : WINDOW_BYTES;
    const wanted = Math.min(Math.max(length, this.#windowBytes), this.#size - start);
    this.#bytesLeft -= wanted;
    if (wanted <= 0 || this.#bytesLeft < 0) throw new Error('outside of the file, or too many bytes in all');
    try {
      this.#window = { start, content: await this.#read(start, wanted) };
    } catch (error) {
      this.failure = error;
      throw error;
    }
    return this.#window.content.subarray(0, length);
  }
}
