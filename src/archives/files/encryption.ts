import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes } from 'node:crypto';
import { BrokenArchive, type Checksum, type Sink, type Source, type SummedFile } from './archive-files.ts';

/** Bytes that are encrypted together, so that parts of a file can be read. */
const CHUNK = 64 * 1024;
const TAG = 16;
const SALT = 32;
const CIPHER = 'aes-256-gcm';

/** A key of archives. Its id tells which files are its own, and nothing of the key. */
export interface ArchiveKey {
  readonly id: string;
  readonly bytes: Buffer;
}

/** Bytes that a file of a size takes when it is encrypted. */
export function encryptedBytes(bytes: number): number {
  return SALT + bytes + TAG * chunksOf(bytes);
}

/**
 * Encrypts a file: a salt, then chunks of 64 KiB, each with its proof. Every file has a key of its own, made of the salt;
 * the nonce of a chunk is its number, and whether it is the last. So chunks cannot be exchanged, left out or added.
 */
export class EncryptingSink implements Sink {
  readonly #sink: Sink;
  readonly #key: ArchiveKey;
  readonly #salt = randomBytes(SALT);
  readonly #fileKey: Buffer;
  readonly #chunk = Buffer.allocUnsafe(CHUNK);
  #held = 0;
  #number = 0;

  constructor(sink: Sink, key: ArchiveKey) {
    this.#sink = sink;
    this.#key = key;
    this.#fileKey = fileKeyOf(key, this.#salt);
  }

  sum(): Checksum {
    return keyedSum(this.#key);
  }

  async write(piece: Buffer): Promise<void> {
    for (let at = 0; at < piece.length; ) {
      // A full chunk waits for the next byte: only then is it not the last.
      if (this.#held === CHUNK) await this.#flush(false);
      const taken = piece.copy(this.#chunk, this.#held, at, at + CHUNK - this.#held);
      this.#held += taken;
      at += taken;
    }
  }

  async finish(): Promise<Pick<SummedFile, 'parts' | 'key'>> {
    await this.#flush(true);
    return { ...(await this.#sink.finish()), key: this.#key.id };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#sink[Symbol.asyncDispose]();
  }

  async #flush(isLast: boolean): Promise<void> {
    const cipher = createCipheriv(CIPHER, this.#fileKey, nonceOf(this.#number, isLast));
    const chunk = cipher.update(this.#chunk.subarray(0, this.#held));
    cipher.final();
    const before = this.#number === 0 ? [this.#salt] : [];
    await this.#sink.write(Buffer.concat([...before, chunk, cipher.getAuthTag()]));
    this.#number += 1;
    this.#held = 0;
  }
}

/** Reads what an {@link EncryptingSink} wrote. */
export class DecryptingSource implements Source {
  readonly name: string;
  readonly #source: Source;
  readonly #key: ArchiveKey;
  readonly #bytes: number;
  readonly #chunks: number;
  readonly #buffer: Buffer;
  #fileKey: Buffer | undefined;
  /** The chunk that was decrypted last. */
  #current: { readonly number: number; readonly chunk: Buffer } = { number: -1, chunk: Buffer.alloc(0) };

  /** @param bytes size of the file when it is decrypted */
  constructor(source: Source, key: ArchiveKey, bytes: number) {
    this.name = source.name;
    this.#source = source;
    this.#key = key;
    this.#bytes = bytes;
    this.#chunks = chunksOf(bytes);
    this.#buffer = Buffer.allocUnsafe(Math.min(CHUNK, bytes) + TAG);
  }

  sum(): Checksum {
    return keyedSum(this.#key);
  }

  async read(buffer: Buffer, at: number): Promise<number> {
    let filled = 0;
    while (filled < buffer.length && at + filled < this.#bytes) {
      const number = Math.floor((at + filled) / CHUNK);
      if (this.#current.number !== number) this.#current = { number, chunk: await this.#decrypt(number) };
      filled += this.#current.chunk.copy(buffer, filled, at + filled - number * CHUNK);
    }
    if (filled === 0) await this.#checkEnd();
    return filled;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#source[Symbol.asyncDispose]();
  }

  /** Whoever reads to the end hears when the file ends elsewhere. */
  async #checkEnd(): Promise<void> {
    if (this.#current.number !== this.#chunks - 1) await this.#decrypt(this.#chunks - 1);
    const more = await this.#source.read(Buffer.alloc(1), encryptedBytes(this.#bytes));
    if (more > 0) throw new BrokenArchive(`${this.name} has more than was written`);
  }

  async #decrypt(number: number): Promise<Buffer> {
    const isLast = number === this.#chunks - 1;
    const length = isLast ? this.#bytes - number * CHUNK : CHUNK;
    this.#fileKey ??= fileKeyOf(this.#key, await this.#take(Buffer.alloc(SALT), 0));
    const stored = await this.#take(this.#buffer.subarray(0, length + TAG), SALT + number * (CHUNK + TAG));
    try {
      const decipher = createDecipheriv(CIPHER, this.#fileKey, nonceOf(number, isLast), { authTagLength: TAG });
      decipher.setAuthTag(stored.subarray(length));
      const chunk = decipher.update(stored.subarray(0, length));
      decipher.final();
      return chunk;
    } catch (cause) {
      throw new BrokenArchive(`${this.name} is not as it was written`, { cause });
    }
  }

  async #take(buffer: Buffer, at: number): Promise<Buffer> {
    for (let taken = 0; taken < buffer.length; ) {
      const read = await this.#source.read(buffer.subarray(taken), at + taken);
      if (read === 0) throw new BrokenArchive(`${this.name} ends too early`);
      taken += read;
    }
    return buffer;
  }
}

function chunksOf(bytes: number): number {
  return Math.max(1, Math.ceil(bytes / CHUNK));
}

function fileKeyOf({ bytes }: ArchiveKey, salt: Buffer): Buffer {
  return Buffer.from(hkdfSync('sha256', bytes, salt, 'glovebox archive file', 32));
}

/** A checksum of contents that tells nothing of them to those who do not have the key. */
function keyedSum({ bytes }: ArchiveKey): Checksum {
  return createHmac('sha256', Buffer.from(hkdfSync('sha256', bytes, '', 'glovebox archive checksum', 32)));
}

function nonceOf(number: number, isLast: boolean): Buffer {
  const nonce = Buffer.alloc(12);
  nonce.writeUInt32BE(number, 0);
  nonce.writeUInt8(isLast ? 1 : 0, 4);
  return nonce;
}
