import type { Duplex, Readable } from 'node:stream';

/**
 * Memory into which a connection is read again and again. New memory for each reading would have the garbage collector
 * mark the whole heap many times while a large file passes.
 */

/** Memory of a connection on which little comes, in bytes. */
const SMALL_BYTES = 16 * 1024;
/** Memory of a connection on which much comes, in bytes. */
const LARGE_BYTES = 128 * 1024;
/** Shortest piece that is kept where it is. It bounds how much larger than the piece the memory is that it occupies. */
const LEAST_KEPT_BYTES = SMALL_BYTES;
/** Most large blocks that wait for their next use. */
const MOST_SPARE = 16;
/** Time in milliseconds after which large blocks are freed that were not used all the while. */
const SPARE_MS = 5000;

/** A piece that may be used until it is released. */
export interface Kept {
  readonly bytes: Buffer;
  /** Must be called once. The bytes may be overwritten after that. */
  readonly release: () => void;
}

/**
 * Keeps a piece, or a part of one, beyond the call that was given it. Without that, its memory is read into again as soon
 * as the call has returned. May be called only during that call.
 */
export type Keep = (piece: Buffer) => Kept;

/** Takes a piece of what was read. It may be used until the call returns, or as long as `keep` says. */
export type TakePiece = (piece: Buffer, keep: Keep) => void;

/** Has the other end of a connection asked for a sign of life. */
export interface Heartbeat {
  /** Time without any bytes after which it is asked, in milliseconds. */
  readonly everyMs: number;
  /** Called when nothing has come for two more such times, and again after each further one until something comes. */
  onSilent(): void;
  /** Why nothing comes at present, if that is known. What is sent waits meanwhile. */
  readonly outage: Outage | undefined;
}

/** Time in which the other end of a connection cannot be reached. */
export interface Outage {
  readonly error: Error;
  /** When that was noticed, in milliseconds of the performance clock. What comes later shows that it is over. */
  readonly since: number;
}

/** A connection that may be read by pieces. */
export interface PieceStream extends Duplex {
  /** How the connection learns that it has fallen silent, where it cannot find that out itself. */
  readonly heartbeat?: Heartbeat | undefined;
  /**
   * Why nothing was reached by it, once it has ended: what is between broke. Undefined where the other end was reached, or
   * where it was ended from here.
   */
  readonly whyNotReached?: (() => Promise<Error | undefined>) | undefined;
  /** Takes what comes from now on, instead of events `data`. */
  readPieces?(take: TakePiece): void;
  /** Has events `data` lend their pieces where it can: each only until its listeners have returned. */
  lendPieces?(): void;
}

/** Whether what a stream has next goes to the listeners of `data` at once, so that nothing would hold it beyond that. */
export function passesAtOnce(stream: Readable): boolean {
  return stream.readableFlowing === true && stream.readableLength === 0 && stream.listenerCount('data') > 0;
}

/** Keeps pieces whose memory nothing reads into again. */
export const keepAsIs: Keep = (bytes) => ({ bytes, release: () => {} });

interface Block {
  readonly bytes: Buffer;
  /** Number of pieces that are kept in it. */
  kept: number;
}

/** The memory of all blocks. */
const reused = new WeakSet<ArrayBufferLike>();

/** A piece in memory that is not read into again: itself, or a copy of it. */
export function lasting(piece: Buffer): Buffer {
  return reused.has(piece.buffer) ? Buffer.from(piece) : piece;
}

const spare: Block[] = [];
/** Number of blocks that have been spare since the last look. */
let unused = 0;
let looking: NodeJS.Timeout | undefined;

/** The memory of one connection. It grows with what comes, and shrinks again. */
export class ReusedMemory {
  readonly #small = makeBlock(SMALL_BYTES);
  #current = this.#small;
  #wasKept = false;

  /** The memory for the next reading. */
  get free(): Buffer {
    return this.#current.bytes;
  }

  /** Whether pieces of the last reading have been kept where they are, if only for a moment. */
  get wasKept(): boolean {
    return this.#wasKept;
  }

  /** Chooses the memory for the reading after one of `length` bytes, all of which have been taken. */
  advance(length: number): void {
    this.#wasKept = false;
    const { bytes, kept } = this.#current;
    if (length === bytes.length || kept > 0) this.#replace(takeSpare());
    else if (length < SMALL_BYTES && this.#current !== this.#small) this.#replace(this.#small);
  }

  /** Gives back what the connection no longer needs. */
  close(): void {
    this.#replace(this.#small);
  }

  readonly keep: Keep = (piece) => {
    // Short pieces, of which many would fit in the memory that one occupies.
    if (piece.length < LEAST_KEPT_BYTES || this.#current === this.#small) return keepAsIs(Buffer.from(piece));
    const block = this.#current;
    block.kept += 1;
    this.#wasKept = true;
    return {
      bytes: piece,
      release: () => {
        block.kept -= 1;
        if (block.kept === 0 && block !== this.#current) giveBack(block);
      },
    };
  };

  #replace(next: Block): void {
    const last = this.#current;
    this.#current = next;
    if (last !== next && last !== this.#small && last.kept === 0) giveBack(last);
  }
}

function makeBlock(size: number): Block {
  const bytes = Buffer.allocUnsafeSlow(size);
  reused.add(bytes.buffer);
  return { bytes, kept: 0 };
}

function takeSpare(): Block {
  const block = spare.pop() ?? makeBlock(LARGE_BYTES);
  unused = Math.min(unused, spare.length);
  return block;
}

function giveBack(block: Block): void {
  if (spare.length < MOST_SPARE) spare.push(block);
  looking ??= setInterval(freeUnused, SPARE_MS).unref();
}

function freeUnused(): void {
  spare.splice(0, unused);
  unused = spare.length;
  if (unused > 0) return;
  clearInterval(looking);
  looking = undefined;
}
