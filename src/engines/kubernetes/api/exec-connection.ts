import { Duplex } from 'node:stream';
import type { RawData, WebSocket } from 'ws';
import { keepAsIs, type PieceStream, type TakePiece } from '../../../lib/reused-memory.ts';
import { type ApiStatus, parseStatus } from './answer.ts';

/** Remote command over WebSockets as Kubernetes 1.30 and newer speaks it: the first with a half-close. */
export const PROTOCOL = 'v5.channel.k8s.io';

/** Channels: the first byte of each message. */
const STDIN = 0;
const STDOUT = 1;
const STDERR = 2;
const STATUS = 3;
/** In place of a channel: closes the channel that the next byte names. */
const CLOSE = 255;

/** Code of RFC 6455 for a normal end. */
const NORMAL = 1000;
/** Most bytes of input in one message. */
const MOST_MESSAGE = 128 * 1024;
/** Interval in milliseconds of the questions whether the API server is still there. */
const PING_MS = 15_000;
/** Unanswered questions that end the connection. */
const MOST_UNANSWERED = 2;
/** Time in milliseconds for the server to close after it has told how the program ended. */
const CLOSE_LIMIT_MS = 2000;

/** Why a connection is broken that was closed by this program. */
export const CLOSED_HERE = 'the connection was closed here';

/**
 * How an exec ended. `broken`: the connection did, and the program may go on. `refused`: the program never ran, since the
 * node does not answer, for example, or has no such program.
 */
export type ExecEnd =
  | { readonly kind: 'exit'; readonly code: number }
  | { readonly kind: 'broken'; readonly why: string }
  | { readonly kind: 'refused'; readonly message: string };

/**
 * Standard input and output of a program in a pod, as one duplex of plain bytes, or read by pieces. Ending it closes the
 * input alone. It ends after the program's last output; a broken connection destroys it.
 */
export class ExecConnection extends Duplex implements PieceStream {
  /** Resolves once the program has ended, or the connection has. Never rejects. */
  readonly ended: Promise<ExecEnd>;
  readonly #socket: WebSocket;
  readonly #onStderr: (piece: Buffer) => void;
  #settle: (end: ExecEnd) => void = () => {};
  #end: ExecEnd | undefined;
  #failure = '';
  #take: TakePiece = (piece) => {
    if (!this.push(piece)) this.#socket.pause();
  };

  /** @param socket is paused until something is read */
  constructor(socket: WebSocket, onStderr: (piece: Buffer) => void) {
    super();
    this.#socket = socket;
    this.#onStderr = onStderr;
    this.ended = new Promise((resolve) => {
      this.#settle = resolve;
    });
    const stopAsking = askWhetherThere(socket, (why) => this.#fail(why));
    socket.on('message', (data) => this.#receive(toBuffer(data)));
    socket.on('error', ({ message }) => this.#fail(message));
    socket.on('close', (code, reason) => {
      stopAsking();
      this.#closed(code, reason.toString());
    });
    socket.resume();
  }

  /** Takes the output from now on, instead of events `data`. Nothing may have been read before. */
  readPieces(take: TakePiece): void {
    this.#take = take;
    this.resume();
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#sendAll([chunk], done);
  }

  override _writev(chunks: { chunk: Buffer }[], done: (error?: Error | null) => void): void {
    this.#sendAll(
      chunks.map(({ chunk }) => chunk),
      done,
    );
  }

  override _final(done: (error?: Error | null) => void): void {
    if (this.#socket.readyState === this.#socket.OPEN) this.#socket.send(Buffer.from([CLOSE, STDIN]), () => done());
    else done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#settle(this.#end ?? { kind: 'broken', why: this.#failure || CLOSED_HERE });
    this.#socket.terminate();
    done(error);
  }

  #sendAll(chunks: readonly Buffer[], done: (error?: Error | null) => void): void {
    const messages = toMessages(chunks);
    const last = messages.pop();
    for (const message of messages) this.#socket.send(message);
    if (last) this.#socket.send(last, (error) => done(error ?? null));
    else done();
  }

  #receive(message: Buffer): void {
    // At the start, each channel sends an empty message.
    if (message.length < 2) return;
    const bytes = message.subarray(1);
    if (message[0] === STDOUT) this.#take(bytes, keepAsIs);
    else if (message[0] === STDERR) this.#onStderr(bytes);
    else if (message[0] === STATUS) this.#finish(bytes.toString());
  }

  /** The program has ended, or was never started. */
  #finish(text: string): void {
    this.#end ??= toEnd(parseStatus(text), text);
    setTimeout(() => this.#socket.terminate(), CLOSE_LIMIT_MS).unref();
  }

  #fail(why: string): void {
    this.#failure ||= why;
    this.#socket.terminate();
  }

  #closed(code: number, reason: string): void {
    if (this.#end?.kind === 'exit') {
      this.#settle(this.#end);
      this.push(null);
      return;
    }
    const without = code === NORMAL ? 'the node ended it without telling how the program did' : `closed with ${code}`;
    this.#failure ||= reason || without;
    this.destroy();
  }
}

/** Makes messages that are neither tiny nor huge. The server takes each frame for one, so none may have several. */
function toMessages(chunks: readonly Buffer[]): Buffer[] {
  const [first, ...others] = chunks;
  const all = first && others.length === 0 ? first : Buffer.concat(chunks);
  const count = Math.ceil(all.length / MOST_MESSAGE);
  return Array.from({ length: count }, (_, at) => {
    const part = all.subarray(at * MOST_MESSAGE, (at + 1) * MOST_MESSAGE);
    const message = Buffer.allocUnsafe(part.length + 1);
    message[0] = STDIN;
    part.copy(message, 1);
    return message;
  });
}

/** Reads the status by which a server tells of the end. */
function toEnd(status: ApiStatus | undefined, text: string): ExecEnd {
  if (status?.status === 'Success') return { kind: 'exit', code: 0 };
  const causes = status?.details?.causes ?? [];
  const code = Number(causes.find(({ reason }) => reason === 'ExitCode')?.message);
  if (status?.reason === 'NonZeroExitCode' && Number.isInteger(code)) return { kind: 'exit', code };
  return { kind: 'refused', message: status?.message || text.slice(0, 500) };
}

/** Ends a connection whose server has gone without a word. Returns how to stop that. */
function askWhetherThere(socket: WebSocket, onGone: (why: string) => void): () => void {
  let unanswered = 0;
  const heard = () => {
    unanswered = 0;
  };
  socket.on('pong', heard);
  socket.on('message', heard);
  const timer = setInterval(() => {
    // One that is not read at the moment cannot be heard.
    if (socket.isPaused) unanswered = 0;
    if (unanswered >= MOST_UNANSWERED) return onGone('the API server does not answer any more');
    unanswered += 1;
    socket.ping();
  }, PING_MS).unref();
  return () => clearInterval(timer);
}

function toBuffer(data: RawData): Buffer {
  if (Buffer.isBuffer(data)) return data;
  return Array.isArray(data) ? Buffer.concat(data) : Buffer.from(data);
}
