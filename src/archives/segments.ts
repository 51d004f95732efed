import { createHash } from 'node:crypto';
import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import { type FileHandle, open, readFile } from 'node:fs/promises';

const BUFFER_BYTES = 256 * 1024;
/** A file of up to so many bytes is read at once: on a busy machine a turn of the thread pool takes longer than that. */
const SMALL_BYTES = 2 * 1024 * 1024;

/** A file's name, length and checksum, as a record has them. */
export interface SummedFile {
  readonly number: number;
  readonly bytes: number;
  readonly sha256: string;
}

/** What is on disk is not what was written there. */
export class BrokenArchive extends Error {}

/** Writes a new file in large pieces and sums it up. */
export class SummingWriter implements AsyncDisposable {
  readonly #file: FileHandle;
  readonly #reserve: (bytes: number) => void;
  readonly #hash = createHash('sha256');
  readonly #buffer = Buffer.allocUnsafe(BUFFER_BYTES);
  #held = 0;
  #bytes = 0;

  private constructor(file: FileHandle, reserve: (bytes: number) => void) {
    this.#file = file;
    this.#reserve = reserve;
  }

  /** @param reserve hears of bytes before they are written, and throws if there is no room for them */
  static async create(path: string, reserve: (bytes: number) => void): Promise<SummingWriter> {
    return new SummingWriter(await open(path, 'wx', 0o600), reserve);
  }

  get bytes(): number {
    return this.#bytes;
  }

  async write(data: Uint8Array): Promise<void> {
    this.#reserve(data.byteLength);
    this.#bytes += data.byteLength;
    for (let at = 0; at < data.byteLength; ) {
      const piece = data.subarray(at, at + BUFFER_BYTES - this.#held);
      this.#buffer.set(piece, this.#held);
      this.#held += piece.byteLength;
      at += piece.byteLength;
      if (this.#held === BUFFER_BYTES) await this.#flush();
    }
  }

  async finish(number: number): Promise<SummedFile> {
    await this.#flush();
    return { number, bytes: this.#bytes, sha256: this.#hash.digest('hex') };
  }

  /** Returns when all is on the disk. */
  async sync(): Promise<void> {
    await this.#file.datasync();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
  }

  async #flush(): Promise<void> {
    const piece = this.#buffer.subarray(0, this.#held);
    this.#held = 0;
    this.#hash.update(piece);
    await this.#file.writeFile(piece);
  }
}

/** @throws BrokenArchive when the file is not the one that was summed up */
export async function verify(path: string, summed: SummedFile): Promise<void> {
  await using source = await openSource(path);
  await check(path, summed, source);
}

/** All that is in a file. @throws BrokenArchive as `verify` does */
export async function readVerified(path: string, summed: SummedFile): Promise<Buffer> {
  const content = await readAll(path, summed).catch(unreadable(path));
  const sha256 = createHash('sha256').update(content).digest('hex');
  compare(path, summed, { bytes: content.length, sha256 });
  return content;
}

async function readAll(path: string, { bytes }: SummedFile): Promise<Buffer> {
  return bytes <= SMALL_BYTES ? readFileSync(path) : await readFile(path);
}

/** Reads parts of a file; those that lie one after the other cost few reads, however small they are. */
export class PartReader implements AsyncDisposable {
  readonly #source: Source;
  #window = Buffer.alloc(0);
  #start = 0;

  private constructor(source: Source) {
    this.#source = source;
  }

  static async open(path: string): Promise<PartReader> {
    return new PartReader(await openSource(path));
  }

  /** @throws BrokenArchive as `verify` does */
  static async openVerified(path: string, summed: SummedFile): Promise<PartReader> {
    const source = summed.bytes <= SMALL_BYTES ? openSmall(path) : await openSource(path);
    try {
      await check(path, summed, source);
    } catch (error) {
      await source[Symbol.asyncDispose]();
      throw error;
    }
    return new PartReader(source);
  }

  async *read(offset: number, length: number): AsyncGenerator<Buffer, void, undefined> {
    for (let at = offset; at < offset + length; ) {
      if (at < this.#start || at >= this.#start + this.#window.length) await this.#fill(at);
      const piece = this.#window.subarray(at - this.#start, offset + length - this.#start);
      at += piece.length;
      yield piece;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#source[Symbol.asyncDispose]();
  }

  /** Into new memory: pieces of the last window may still be on their way. */
  async #fill(at: number): Promise<void> {
    const window = Buffer.allocUnsafe(BUFFER_BYTES);
    const bytes = await this.#source.read(window, at);
    if (bytes === 0) throw new BrokenArchive('an archive ends too early');
    this.#window = window.subarray(0, bytes);
    this.#start = at;
  }
}

/** An open file. */
interface Source extends AsyncDisposable {
  /** Fills a buffer from a place of the file; how many bytes there were. */
  read(buffer: Buffer, at: number): Promise<number>;
}

/** @throws BrokenArchive when it cannot be opened */
async function openSource(path: string): Promise<Source> {
  const file = await open(path, 'r').catch(unreadable(path));
  return {
    read: async (buffer, at) => (await file.read(buffer, 0, buffer.length, at)).bytesRead,
    [Symbol.asyncDispose]: () => file.close(),
  };
}

/** The same for a small file, without turns of the thread pool. */
function openSmall(path: string): Source {
  const file = tryOpen(path);
  return {
    read: async (buffer, at) => readSync(file, buffer, 0, buffer.length, at),
    [Symbol.asyncDispose]: async () => closeSync(file),
  };
}

function tryOpen(path: string): number {
  try {
    return openSync(path, 'r');
  } catch (cause) {
    return unreadable(path)(cause);
  }
}

type Sum = Omit<SummedFile, 'number'>;

async function check(path: string, summed: SummedFile, source: Source): Promise<void> {
  compare(path, summed, await sumUp(source).catch(unreadable(path)));
}

function compare(path: string, { bytes, sha256 }: SummedFile, found: Sum): void {
  if (found.bytes !== bytes || found.sha256 !== sha256) throw new BrokenArchive(`${path} is not as it was written`);
}

function unreadable(path: string): (cause: unknown) => never {
  return (cause) => {
    throw new BrokenArchive(`${path} cannot be read`, { cause });
  };
}

/** In one buffer: new ones for all of a large file keep the garbage collector busy for longer than the sum takes. */
async function sumUp(source: Source): Promise<Sum> {
  const hash = createHash('sha256');
  const buffer = Buffer.allocUnsafe(BUFFER_BYTES);
  for (let bytes = 0; ; ) {
    const read = await source.read(buffer, bytes);
    if (read === 0) return { bytes, sha256: hash.digest('hex') };
    hash.update(buffer.subarray(0, read));
    bytes += read;
  }
}
