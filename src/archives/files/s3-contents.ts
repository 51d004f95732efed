import { createHash } from 'node:crypto';
import { GloveboxError } from '../../errors.ts';
import type { Bucket, UploadedPart } from '../../s3/bucket.ts';
import { StorageRefusal } from '../../s3/errors.ts';
import { BrokenArchive, plainSum, type Sink, type Source, type SummedFile } from './archive-files.ts';

/** Size of a part that is sent, or fetched, at once, in bytes. The least that S3 allows is 5 MiB. */
const PART_BYTES = 8 * 2 ** 20;
/** Parts of one file that are on their way at once. With the one that is being filled they are what is in memory. */
const ON_THE_WAY = 2;
/** Times that a part is fetched that is not as it was written. */
const MOST_FETCHES = 3;

/**
 * New object that is sent in parts, each with its checksum. Whoever writes waits while too many are on their way. A part
 * that breaks off is sent again.
 */
export class S3Sink implements Sink {
  readonly #bucket: Bucket;
  readonly #key: string;
  readonly sum = plainSum;
  #pieces: Buffer[] = [];
  #held = 0;
  #bytes = 0;
  #uploadId: Promise<string> | undefined;
  readonly #parts: Promise<UploadedPart>[] = [];
  readonly #underWay = new Set<Promise<void>>();
  #failure: unknown;
  #isFinished = false;

  constructor(bucket: Bucket, key: string) {
    this.#bucket = bucket;
    this.#key = key;
  }

  async write(piece: Buffer): Promise<void> {
    for (let at = 0; at < piece.length; ) {
      const taken = piece.subarray(at, at + PART_BYTES - this.#held);
      this.#pieces.push(Buffer.from(taken));
      this.#held += taken.length;
      at += taken.length;
      if (this.#held === PART_BYTES) await this.#sendPart();
    }
  }

  async finish(): Promise<Pick<SummedFile, 'parts'>> {
    const sums: string[] = [];
    if (this.#parts.length === 0) {
      const body = this.#take();
      await this.#bucket.put(this.#key, body);
      sums.push(createHash('sha256').update(body).digest('base64'));
    } else {
      if (this.#held > 0) await this.#sendPart();
      const [uploadId, ...parts] = await Promise.all([this.#uploadId, ...this.#parts]).catch(gone);
      await this.#bucket.complete(this.#key, uploadId ?? '', parts, this.#bytes).catch(gone);
      sums.push(...parts.map(({ sha256 = '' }) => sha256));
    }
    this.#isFinished = true;
    return { parts: { bytes: PART_BYTES, sha256: sums } };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isFinished || this.#uploadId === undefined) return;
    await Promise.allSettled(this.#parts);
    const uploadId = await this.#uploadId.catch(() => undefined);
    // If the storage cannot be reached now, garbage collection does it later.
    if (uploadId !== undefined && this.#bucket.isReachable)
      await this.#bucket.abort(this.#key, uploadId).catch(() => {});
  }

  async #sendPart(): Promise<void> {
    const [number, body] = [this.#parts.length + 1, this.#take()];
    this.#uploadId ??= this.#bucket.begin(this.#key);
    const sent = this.#uploadId.then((uploadId) => this.#bucket.putPart(this.#key, uploadId, number, body));
    this.#parts.push(sent);
    const settled: Promise<void> = sent.then(
      () => void this.#underWay.delete(settled),
      (error: unknown) => {
        this.#underWay.delete(settled);
        this.#failure ??= error;
      },
    );
    this.#underWay.add(settled);
    if (this.#underWay.size >= ON_THE_WAY) await Promise.race(this.#underWay);
    // A part that failed ends the writing here, not only at its end.
    if (this.#failure !== undefined) gone(this.#failure);
  }

  #take(): Buffer {
    const body = Buffer.concat(this.#pieces);
    this.#bytes += body.length;
    [this.#pieces, this.#held] = [[], 0];
    return body;
  }
}

/** Object that is fetched in parts, each of which is verified before it is used. The next one is fetched meanwhile. */
export class S3Source implements Source {
  readonly name: string;
  readonly sum = plainSum;
  readonly #bucket: Bucket;
  readonly #file: SummedFile;
  readonly #partBytes: number;
  #current: { readonly number: number; readonly body: Promise<Buffer> } | undefined;
  #next: { readonly number: number; readonly body: Promise<Buffer> } | undefined;

  constructor(bucket: Bucket, key: string, file: SummedFile) {
    this.name = key;
    this.#bucket = bucket;
    this.#file = file;
    this.#partBytes = file.parts?.bytes ?? PART_BYTES;
  }

  async read(buffer: Buffer, at: number): Promise<number> {
    if (at >= this.#file.bytes) return 0;
    const number = Math.floor(at / this.#partBytes);
    const part = await this.#part(number);
    return part.copy(buffer, 0, at - number * this.#partBytes);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled([this.#current?.body, this.#next?.body]);
  }

  async #part(number: number): Promise<Buffer> {
    if (this.#current?.number !== number) {
      this.#current = this.#next?.number === number ? this.#next : this.#begin(number);
      this.#next = undefined;
    }
    const body = await this.#current.body;
    if (this.#next === undefined && (number + 1) * this.#partBytes < this.#file.bytes)
      this.#next = this.#begin(number + 1);
    return body;
  }

  #begin(number: number): { readonly number: number; readonly body: Promise<Buffer> } {
    const body = this.#fetch(number);
    // Whoever needs it hears of a failure.
    body.catch(() => {});
    return { number, body };
  }

  async #fetch(number: number): Promise<Buffer> {
    const { bytes, parts } = this.#file;
    const offset = number * this.#partBytes;
    const length = Math.min(this.#partBytes, bytes - offset);
    for (let attempt = 1; ; attempt += 1) {
      const found = await this.#bucket.getRange(this.name, offset, length);
      if (!found) throw new BrokenArchive(`${this.name} is missing in the storage`);
      if (found.total !== bytes) throw new BrokenArchive(`${this.name} has another size than was written`);
      const sum = parts && createHash('sha256').update(found.body).digest('base64');
      if (found.body.length === length && sum === parts?.sha256[number]) return found.body;
      // The storage, or what lies on the way to it, may have changed bytes only this time.
      if (attempt === MOST_FETCHES) throw new BrokenArchive(`${this.name} is not as it was written`);
    }
  }
}

/** @throws GloveboxError for an upload that somebody has given up meanwhile */
function gone(error: unknown): never {
  if (!(error instanceof StorageRefusal)) throw error;
  throw new GloveboxError('archive_unavailable', `The storage of archives refuses an upload (${error.code}).`, {
    hint: 'Nothing is lost. Try again.',
    cause: error,
  });
}
