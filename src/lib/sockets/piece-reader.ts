import type { Agent } from 'node:http';
import { connect, type OnReadOpts, type Socket, type TcpNetConnectOpts } from 'node:net';
import type { Duplex } from 'node:stream';
import { keepAsIs, type PieceStream, passesAtOnce, ReusedMemory, type TakePiece } from '../reused-memory.ts';

/** Bytes in a row from which more is expected, so that it is better read together. */
const STREAM_BYTES = 2 ** 20;
/** Longest pause in a row of bytes, in milliseconds. */
const STREAM_PAUSE_MS = 20;
/** Bytes of a reading that is worth its work. */
const WORTHWHILE_BYTES = 64 * 1024;
/** Time for more to come after a reading of less, in milliseconds. What comes meanwhile waits in the socket. */
const GATHER_MS = 1;

/** Readers of the sockets that are opened here. */
const readers = new WeakMap<Duplex, PieceReader>();

/**
 * Reads a socket of Node's into memory that is used again. Until pieces are asked for, it passes copies on to the socket,
 * which behaves like any other then. So Node's client makes the request and reads the head of its answer.
 */
class PieceReader {
  readonly #memory = new ReusedMemory();
  #socket: Duplex | undefined;
  #take: TakePiece | undefined;
  #lends = false;
  #streamed = 0;
  #lastAt = 0;
  #more: NodeJS.Timeout | undefined;

  /** Options for the socket. */
  readonly onread: OnReadOpts = {
    buffer: () => this.#memory.free,
    callback: (length) => this.#receive(length),
  };

  serve(socket: Duplex): void {
    this.#socket = socket;
    socket.once('close', () => {
      clearTimeout(this.#more);
      this.#memory.close();
    });
  }

  lend(): void {
    this.#lends = true;
  }

  begin(take: TakePiece): void {
    const rest: Buffer | null = this.#socket?.read();
    this.#take = take;
    if (rest) take(rest, keepAsIs);
    this.#socket?.resume();
  }

  /** Returns whether to read on. */
  #receive(length: number): boolean {
    const piece = this.#memory.free.subarray(0, length);
    if (!this.#take) return this.#passOn(piece);
    this.#take(piece, this.#memory.keep);
    const { wasKept } = this.#memory;
    this.#memory.advance(length);
    return !(wasKept && this.#gathers(length));
  }

  /** Lets the socket behave like any other. */
  #passOn(piece: Buffer): boolean {
    const socket = this.#socket;
    if (!socket) return true;
    if (!(this.#lends && passesAtOnce(socket))) return socket.push(Buffer.from(piece));
    socket.emit('data', piece);
    this.#memory.advance(piece.length);
    return true;
  }

  /**
   * Lets more come before the next reading, while much comes in small parts: each reading has its price. Only where pieces
   * are kept, for someone who passes them on. Who takes them at once would wait for nothing.
   */
  #gathers(length: number): boolean {
    const now = performance.now();
    this.#streamed = now - this.#lastAt < STREAM_PAUSE_MS ? this.#streamed + length : length;
    this.#lastAt = now;
    if (this.#streamed < STREAM_BYTES || length >= WORTHWHILE_BYTES) return false;
    this.#more = this.#more?.refresh() ?? setTimeout(() => this.#readOn(), GATHER_MS);
    return true;
  }

  #readOn(): void {
    if (!this.#socket?.isPaused()) this.#socket?.read(0);
  }
}

/** Has the sockets of an agent read by pieces once that is asked for. They must be those of `node:net` or `node:tls`. */
export function readableByPieces<A extends Agent>(agent: A): A {
  const open = agent.createConnection.bind(agent);
  agent.createConnection = (options, callback) => {
    const reader = new PieceReader();
    const withReader: typeof options & { onread: OnReadOpts } = { ...options, onread: reader.onread };
    const socket = open(withReader, callback);
    if (!socket) return socket;
    serve(socket, reader);
    return socket;
  };
  return agent;
}

/** Connects by TCP. What comes can be read by pieces. */
export function connectReadable(options: TcpNetConnectOpts): Socket {
  const reader = new PieceReader();
  const socket = connect({ ...options, onread: reader.onread });
  serve(socket, reader);
  return socket;
}

function serve(socket: Duplex, reader: PieceReader): void {
  reader.serve(socket);
  readers.set(socket, reader);
}

/**
 * Has the events `data` of a connection lend their pieces where it can: the memory is read into again as soon as the listeners
 * have returned. For readers that copy what they need, such as Node's parser of HTTP.
 */
export function lendPieces(connection: PieceStream): void {
  const reader = readers.get(connection);
  if (reader) reader.lend();
  else connection.lendPieces?.();
}

/** Takes what comes on a connection from now on. It then has no events `data`. Pausing it takes effect soon, not at once. */
export function readPieces(connection: PieceStream, take: TakePiece): void {
  const reader = readers.get(connection);
  if (reader) reader.begin(take);
  else if (connection.readPieces) connection.readPieces(take);
  else connection.on('data', (chunk: Buffer) => take(chunk, keepAsIs));
}
