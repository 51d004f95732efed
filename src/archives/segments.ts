import { BrokenArchive, type Checksum, type Sink, type Source, type SummedFile } from './files/archive-files.ts';

const BUFFER_BYTES = 256 * 1024;

/** Writes a new file in large pieces and computes its checksum. */
export class SummingWriter implements AsyncDisposable {
  readonly #sink: Sink;
  readonly #reserve: (bytes: number) => void;
  readonly #sum: Checksum;
  readonly #buffer = Buffer.allocUnsafe(BUFFER_BYTES);
  #held = 0;
  #bytes = 0;

  /** @param reserve called with a number of bytes before they are written; throws if there is no room */
  constructor(sink: Sink, reserve: (bytes: number) => void) {
    this.#sink = sink;
    this.#reserve = reserve;
    this.#sum = sink.sum();
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

  /** Writes what is left, and returns what the file is. */
  async end(number: number): Promise<SummedFile> {
    await this.#flush();
    return { number, bytes: this.#bytes, sha256: this.#sum.digest('hex') };
  }

  /** Has the storage keep the file. */
  async finish(file: SummedFile): Promise<SummedFile> {
    return { ...file, ...(await this.#sink.finish()) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#sink[Symbol.asyncDispose]();
  }

  async #flush(): Promise<void> {
    const piece = this.#buffer.subarray(0, this.#held);
    this.#held = 0;
    this.#sum.update(piece);
    await this.#sink.write(piece);
  }
}

/** Checks the size and checksum of a file. @throws BrokenArchive when they differ */
export async function verify(source: Source, summed: SummedFile): Promise<void> {
  await new Verification(source, summed).end();
}

/** Reads a whole file and verifies it. @throws BrokenArchive as `verify` does */
export async function readVerified(source: Source, summed: SummedFile): Promise<Buffer> {
  // One more byte than there should be tells whether there is more.
  const content = Buffer.allocUnsafe(summed.bytes + 1);
  let bytes = 0;
  for (let read = -1; read !== 0 && bytes < content.length; bytes += read)
    read = await source.read(content.subarray(bytes), bytes);
  const found = content.subarray(0, bytes);
  const sum = source.sum();
  sum.update(found);
  compare(source, summed, { bytes, sha256: sum.digest('hex') });
  return found;
}

/** Reads parts of a file. Small consecutive parts are read from the disk together. */
export class PartReader implements AsyncDisposable {
  readonly #source: Source;
  readonly #verification: Verification | undefined;
  #window = Buffer.alloc(0);
  #start = 0;

  /** @param summed given if the file is to be verified by what is read of it */
  constructor(source: Source, summed?: SummedFile) {
    this.#source = source;
    this.#verification = summed && new Verification(source, summed);
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
  readonly #source: Source;
  readonly #summed: SummedFile;
  readonly #sum: Checksum;
  #bytes = 0;

  constructor(source: Source, summed: SummedFile) {
    this.#source = source;
    this.#summed = summed;
    this.#sum = source.sum();
  }

  /** Takes what was read at an offset, in any order. What was summed up already counts once. */
  async take(piece: Buffer, at: number): Promise<void> {
    if (at > this.#bytes) await this.#readOn(at);
    const done = this.#bytes - at;
    if (done < piece.length) this.#add(piece.subarray(Math.max(0, done)));
  }

  async end(): Promise<void> {
    await this.#readOn(Number.POSITIVE_INFINITY);
    compare(this.#source, this.#summed, { bytes: this.#bytes, sha256: this.#sum.digest('hex') });
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
    this.#sum.update(piece);
    this.#bytes += piece.length;
  }
}

type Sum = Pick<SummedFile, 'bytes' | 'sha256'>;

function compare({ name }: Source, { bytes, sha256 }: SummedFile, found: Sum): void {
  if (found.bytes !== bytes || found.sha256 !== sha256) throw new BrokenArchive(`${name} is not as it was written`);
}
