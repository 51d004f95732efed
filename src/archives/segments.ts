import { createHash } from 'node:crypto';
import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import { type FileHandle, open, readFile } from 'node:fs/promises';

const BUFFER_BYTES = 256 * 1024;
/** Size up to which a file is read synchronously, in bytes. On a busy machine, the thread pool takes longer. */
const SMALL_BYTES = 2 * 1024 * 1024;

/** Name, size and checksum of a file, as in a record. */
export interface SummedFile {
  readonly number: number;
  readonly bytes: number;
  readonly sha256: string;
}

/** Error of an archive on disk that differs from what was written. */
export class BrokenArchive extends Error {}

/** Writes a new file in large pieces and computes its checksum. */
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

  /** @param reserve called with a number of bytes before they are written; throws if there is no room */
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

  /** Flushes all data to the disk. */
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

/** Checks the size and checksum of a file. @throws BrokenArchive when they differ */
export async function verify(path: string, summed: SummedFile): Promise<void> {
  await using source = await openSource(path);
  await new Verification(path, summed, source).end();
}

/** Reads a whole file and verifies it. @throws BrokenArchive as `verify` does */
export async function readVerified(path: string, summed: SummedFile): Promise<Buffer> {
  const content = await readAll(path, summed).catch(unreadable(path));
  const sha256 = createHash('sha256').update(content).digest('hex');
  compare(path, summed, { bytes: content.length, sha256 });
  return content;
}

async function readAll(path: string, { bytes }: SummedFile): Promise<Buffer> {
  return bytes <= SMALL_BYTES ? readFileSync(path) : await readFile(path);
}

/** Reads parts of a file. Small consecutive parts are read from the disk together. */
export class PartReader implements AsyncDisposable {
  readonly #source: Source;
  readonly #verification: Verification | undefined;
  #window = Buffer.alloc(0);
  #start = 0;

  private constructor(source: Source, verification?: Verification) {
    this.#source = source;
    this.#verification = verification;
  }

  static async open(path: string): Promise<PartReader> {
    return new PartReader(await openSource(path));
  }

  /** Opens a file that is verified by what is read of it. @throws BrokenArchive when it cannot be opened */
  static async openToVerify(path: string, summed: SummedFile): Promise<PartReader> {
    const source = summed.bytes <= SMALL_BYTES ? openSmall(path) : await openSource(path);
    return new PartReader(source, new Verification(path, summed, source));
  }

  async *read(offset: number, length: number): AsyncGenerator<Buffer, void, undefined> {
    for (let at = offset; at < offset + length; ) {
      if (at < this.#start || at >= this.#start + this.#window.length) await this.#fill(at);
      const piece = this.#window.subarray(at - this.#start, offset + length - this.#start);
      at += piece.length;
      yield piece;
    }
  }

  /** Resolves when the whole file is known to be as it was written. @throws BrokenArchive as `verify` does */
  async verified(): Promise<void> {
    await this.#verification?.end();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#source[Symbol.asyncDispose]();
  }

  /** Reads the next window into new memory, because pieces of the last one may still be in use. */
  async #fill(at: number): Promise<void> {
    const window = Buffer.allocUnsafe(BUFFER_BYTES);
    const bytes = await this.#source.read(window, at);
    if (bytes === 0) throw new BrokenArchive('an archive ends too early');
    this.#window = window.subarray(0, bytes);
    this.#start = at;
    await this.#verification?.take(this.#window, at);
  }
}

/** Checks a file by the pieces that are read of it anyway, and reads only what is left out between them. */
class Verification {
  readonly #path: string;
  readonly #summed: SummedFile;
  readonly #source: Source;
  readonly #hash = createHash('sha256');
  #bytes = 0;

  constructor(path: string, summed: SummedFile, source: Source) {
    this.#path = path;
    this.#summed = summed;
    this.#source = source;
  }

  /** Takes what was read at an offset, in any order. What was summed up already counts once. */
  async take(piece: Buffer, at: number): Promise<void> {
    if (at > this.#bytes) await this.#readOn(at).catch(unreadable(this.#path));
    const done = this.#bytes - at;
    if (done < piece.length) this.#add(piece.subarray(Math.max(0, done)));
  }

  async end(): Promise<void> {
    await this.#readOn(Number.POSITIVE_INFINITY).catch(unreadable(this.#path));
    compare(this.#path, this.#summed, { bytes: this.#bytes, sha256: this.#hash.digest('hex') });
  }

  /** Sums up until an offset or the end, in a single buffer: new ones would cost more than the checksum. */
  async #readOn(until: number): Promise<void> {
    const buffer = Buffer.allocUnsafe(Math.max(1, Math.min(until - this.#bytes, BUFFER_BYTES)));
    while (this.#bytes < until) {
      const read = await this.#source.read(buffer, this.#bytes);
      if (read === 0) return;
      this.#add(buffer.subarray(0, Math.min(read, until - this.#bytes)));
    }
  }

  #add(piece: Buffer): void {
    this.#hash.update(piece);
    this.#bytes += piece.length;
  }
}

/** Open file. */
interface Source extends AsyncDisposable {
  /** Fills a buffer from an offset of the file. Returns the number of bytes read. */
  read(buffer: Buffer, at: number): Promise<number>;
}

/** Opens a file. @throws BrokenArchive when it cannot be opened */
async function openSource(path: string): Promise<Source> {
  const file = await open(path, 'r').catch(unreadable(path));
  return {
    read: async (buffer, at) => (await file.read(buffer, 0, buffer.length, at)).bytesRead,
    [Symbol.asyncDispose]: () => file.close(),
  };
}

/** Opens a small file for synchronous reading, without the thread pool. */
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

function compare(path: string, { bytes, sha256 }: SummedFile, found: Sum): void {
  if (found.bytes !== bytes || found.sha256 !== sha256) throw new BrokenArchive(`${path} is not as it was written`);
}

function unreadable(path: string): (cause: unknown) => never {
  return (cause) => {
    throw new BrokenArchive(`${path} cannot be read`, { cause });
  };
}
