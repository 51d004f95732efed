import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { type Entry, fromRandomAccessReaderPromise, RandomAccessReader, type ZipFile } from 'yauzl';

/** Reads `length` bytes from `start`; what is not there is left out. */
export type ReadAt = (start: number, length: number) => Promise<Buffer>;

/**
 * Bytes to read at once: yauzl asks for each entry of a directory alone, which over the web would be a request each.
 * Windows that follow each other double.
 */
const WINDOW_BYTES = 256 * 1024;
/** Most bytes of a file to read in all; a wheel of ten thousand files has a directory of about one MiB. */
const MOST_BYTES = 32 * 1024 * 1024;
/** Entries of the largest directory that is gone through. */
const MOST_ENTRIES = 100_000;
const METADATA_NAME = /^[^/]+\.dist-info\/METADATA$/;

/**
 * The METADATA of a wheel (`<name>-<version>.dist-info/METADATA`) by random access to it (APPNOTE.TXT 4.3).
 * Undefined for what is no such zip file: damaged, encrypted, packed in another way than installers read.
 * @throws what `read` throws
 */
export async function readWheelMetadata(size: number, read: ReadAt, limitBytes: number): Promise<Buffer | undefined> {
  return await withZip(size, read, async (zip) => {
    const entry = await findMetadata(zip);
    if (!entry || entry.compressedSize > limitBytes || entry.uncompressedSize > limitBytes) return undefined;
    // The stream ends with an error beyond the size that the entry says.
    return await buffer(await zip.openReadStreamPromise(entry));
  });
}

/**
 * What the files of a zip file take once unpacked, by its own words; undefined for what is none.
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
    // Nothing is open that would have to be closed.
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

/** Gives yauzl the bytes of a file, out of the window that was read last where they are in it. */
class WindowReader extends RandomAccessReader {
  /** What `read` threw. */
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

  /** Fewer than `length` at the end of the file. */
  async #bytes(start: number, length: number): Promise<Buffer> {
    const { start: from, content } = this.#window;
    if (start >= from && start + length <= from + content.length) {
      return content.subarray(start - from, start - from + length);
    }
    const follows = start >= from && start <= from + content.length;
    this.#windowBytes = follows ? this.#windowBytes * 2 : WINDOW_BYTES;
    const wanted = Math.min(Math.max(length, this.#windowBytes), this.#size - start);
    this.#bytesLeft -= wanted;
    if (wanted <= 0 || this.#bytesLeft < 0) throw new Error('not within the file, or too much of it');
    try {
      this.#window = { start, content: await this.#read(start, wanted) };
    } catch (error) {
      this.failure = error;
      throw error;
    }
    return this.#window.content.subarray(0, length);
  }
}
