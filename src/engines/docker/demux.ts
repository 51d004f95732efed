import { Duplex } from 'node:stream';
import { keepAsIs, type TakePiece } from '../../lib/reused-memory.ts';
import { readPieces } from '../../lib/sockets/piece-reader.ts';

const HEADER_BYTES = 8;
const STDOUT = 1;

/**
 * The stdin and stdout of an exec without a terminal, as one duplex of plain bytes, or read by pieces.
 * The engine multiplexes stdout and stderr: each piece has a header of stream (1 byte), zeros (3) and length (4).
 * See "Attach to a container" in the Docker Engine API. Stderr goes to `onStderr`, by pieces that last as long as the call.
 */
export class ExecStream extends Duplex {
  readonly #raw: Duplex;
  readonly #onStderr: (piece: Buffer) => void;
  #isRead = false;

  constructor(raw: Duplex, onStderr: (piece: Buffer) => void) {
    super();
    this.#raw = raw;
    this.#onStderr = onStderr;
    raw.on('end', () => this.push(null));
    raw.on('error', (error) => this.destroy(error));
    raw.on('close', () => this.destroy());
  }

  /** Takes stdout from now on, instead of events `data`. Nothing may have been read before. */
  readPieces(take: TakePiece): void {
    this.#isRead = true;
    readPieces(this.#raw, this.#split(take));
    this.resume();
  }

  override _read(): void {
    if (this.#isRead) {
      this.#raw.resume();
      return;
    }
    this.#isRead = true;
    const push: TakePiece = (piece) => {
      if (!this.push(piece)) this.#raw.pause();
    };
    const split = this.#split(push);
    this.#raw.on('data', (chunk: Buffer) => split(chunk, keepAsIs));
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#raw.write(chunk, done);
  }

  override _writev(chunks: { chunk: Buffer }[], done: (error?: Error | null) => void): void {
    this.#raw.cork();
    for (const [at, { chunk }] of chunks.entries()) this.#raw.write(chunk, at === chunks.length - 1 ? done : undefined);
    this.#raw.uncork();
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#raw.end(done);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#raw.destroy();
    done(error);
  }

  /**
   * Splits the engine's stream at its headers. Passes on what arrives, without collecting it: pieces of stdout that have
   * arrived together are moved together over the headers between them.
   */
  #split(take: TakePiece): TakePiece {
    const header = Buffer.alloc(HEADER_BYTES);
    let headerBytes = 0;
    let remaining = 0;
    return (chunk, keep) => {
      let start = 0;
      let end = 0;
      const pass = () => {
        if (end > start) take(chunk.subarray(start, end), keep);
        start = end;
      };
      for (let offset = 0; offset < chunk.length; ) {
        if (remaining === 0) {
          const copied = chunk.copy(header, headerBytes, offset, offset + HEADER_BYTES - headerBytes);
          headerBytes += copied;
          offset += copied;
          if (headerBytes < HEADER_BYTES) break;
          headerBytes = 0;
          remaining = header.readUInt32BE(4);
          continue;
        }
        const next = Math.min(offset + remaining, chunk.length);
        remaining -= next - offset;
        if (header[0] !== STDOUT) {
          pass();
          this.#onStderr(chunk.subarray(offset, next));
        } else if (end === start) {
          start = offset;
          end = next;
        } else {
          chunk.copyWithin(end, offset, next);
          end += next - offset;
        }
        offset = next;
      }
      pass();
    };
  }
}
