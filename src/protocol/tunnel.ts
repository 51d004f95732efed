import { Duplex } from 'node:stream';
import { type Keep, keepAsIs, type PieceStream, passesAtOnce, type TakePiece } from '../lib/reused-memory.ts';
import { FrameType, INITIAL_CREDIT } from './frames.ts';

/** Most bytes in one frame of a tunnel. */
const CHUNK = 256 * 1024;
/** A tunnel consumes this part of its window before the sandbox may send as much again. */
const GRANTED_PART = 1 / 4;

/** Sends a frame. @param onWritten called when its memory is no longer used; with an error if it was not sent */
type SendFrame = (type: number, payload: Buffer, onWritten?: (error?: Error | null) => void) => void;

/**
 * Stream of a TCP connection that was accepted on a sandbox's loopback address. Either side may end its half first. Each
 * side sends only what the other has granted.
 */
export class Tunnel extends Duplex implements PieceStream {
  readonly #send: SendFrame;
  readonly #forget: () => void;
  /** Number of bytes that the sandbox may still send. */
  #receiveCredit = INITIAL_CREDIT;
  /** Number of bytes that are consumed, or could be from the start, and not granted yet. */
  #consumed: number;
  readonly #window: number;
  /** Number of bytes that may be sent to the sandbox. */
  #sendCredit = INITIAL_CREDIT;
  #pending: { rest: Buffer; done: (error?: Error | null) => void } | undefined;
  #ended = false;
  #take: TakePiece | undefined;
  #lends = false;

  /** @param window bytes that may be on their way, each way */
  constructor(send: SendFrame, forget: () => void, window = INITIAL_CREDIT) {
    super({ allowHalfOpen: true });
    this.#send = send;
    this.#forget = forget;
    this.#window = window;
    this.#consumed = window - INITIAL_CREDIT;
    this.#grant();
  }

  /** Takes data from the sandbox. @throws Error when it sends more than it was granted, or after its end */
  deliver(data: Buffer, keep: Keep): void {
    this.#receiveCredit -= data.length;
    if (this.#receiveCredit < 0 || this.#ended) throw new Error('tunnel data beyond its credit or end');
    this.#consumed += data.length;
    if (this.#passOn(data, keep)) this.#grant();
  }

  readPieces(take: TakePiece): void {
    const rest: Buffer | null = this.read();
    this.#take = take;
    if (rest) take(rest, keepAsIs);
    this.resume();
  }

  lendPieces(): void {
    this.#lends = true;
  }

  override resume(): this {
    super.resume();
    if (this.#take) this.#grant();
    return this;
  }

  /** Takes credit from the sandbox. @throws Error when it grants more than was ever used */
  credit(bytes: number): void {
    this.#sendCredit += bytes;
    if (this.#sendCredit > this.#window) throw new Error('tunnel credit beyond its window');
    this.#flush();
  }

  /** Handles the end of the sandbox's half. */
  finish(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.push(null);
  }

  /** Handles the end of the connection. */
  reset(): void {
    this.#forget();
    this.destroy();
  }

  override _read(): void {
    this.#grant();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    if (chunk.length === 0) {
      done();
      return;
    }
    this.#pending = { rest: chunk, done };
    this.#flush();
  }

  /** Sends what has gathered together: HTTP writes a piece and its length apart, and each frame costs the runner time. */
  override _writev(chunks: { readonly chunk: Buffer }[], done: () => void): void {
    this.#pending = { rest: Buffer.concat(chunks.map(({ chunk }) => chunk)), done };
    this.#flush();
  }

  override _final(done: () => void): void {
    this.#send(FrameType.fin, Buffer.alloc(0));
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    if (!(this.#ended && this.writableFinished)) this.#send(FrameType.reset, Buffer.alloc(0));
    this.#forget();
    this.#pending = undefined;
    done(error);
  }

  /** Returns whether there may be more. */
  #passOn(data: Buffer, keep: Keep): boolean {
    if (this.#take) {
      this.#take(data, keep);
      return !this.isPaused();
    }
    // A copy otherwise, because the memory of a piece is used again.
    if (!(this.#lends && passesAtOnce(this))) return this.push(Buffer.from(data));
    // Kept, so that more is read at once: it is passed on.
    const { bytes, release } = keep(data);
    this.emit('data', bytes);
    release();
    return true;
  }

  #flush(): void {
    const pending = this.#pending;
    if (!pending) return;
    while (pending.rest.length > 0 && this.#sendCredit > 0) {
      const piece = pending.rest.subarray(0, Math.min(CHUNK, this.#sendCredit));
      pending.rest = pending.rest.subarray(piece.length);
      this.#sendCredit -= piece.length;
      const isLast = pending.rest.length === 0;
      if (isLast) this.#pending = undefined;
      // What the connection to the engine does not take yet would gather there, for each tunnel as much as its window.
      this.#send(FrameType.data, piece, isLast ? pending.done : undefined);
    }
  }

  #grant(): void {
    if (this.#consumed < this.#window * GRANTED_PART) return;
    const grant = Buffer.allocUnsafe(4);
    grant.writeUInt32BE(this.#consumed);
    this.#receiveCredit += this.#consumed;
    this.#consumed = 0;
    this.#send(FrameType.credit, grant);
  }
}
