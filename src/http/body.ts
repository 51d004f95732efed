import type { Readable } from 'node:stream';
import type { Context } from 'hono';
import { GloveboxError } from '../errors.ts';
import { freePiece } from '../lib/owned-memory.ts';
import { type BodyPieces, IncomingPieces, WebPieces } from './body-pieces.ts';
import { refuseEncoded } from './body-type.ts';
import type { Env } from './route.ts';

const DECODER = new TextDecoder('utf-8', { fatal: true });

/** Time for which the rest of a refused body is read, in milliseconds. */
const DISCARD_MS = 2000;
/** Time in milliseconds without a byte after which a transfer is aborted. */
export const STALL_MS = 60_000;

/**
 * Reads the body of a request as text.
 * @throws GloveboxError `payload_too_large` as soon as that is known; `request_timeout` when no byte arrives for
 *   `stallMs`; `unsupported_media_type` when it is compressed; `invalid_input` when it is not UTF-8, or incomplete
 */
export async function readBody(c: Context<Env>, maxBytes: number, stallMs = STALL_MS): Promise<string> {
  const request = c.req.raw;
  const declared = request.headers.get('content-length');
  if (declared !== null && Number(declared) > maxBytes) throw tooLarge(maxBytes);
  refuseEncoded(request);
  const stall = watchForStall(c, stallMs);
  let bytes: ArrayBuffer | Uint8Array;
  try {
    // Node enforces a declared length. Without one, the bytes are counted here.
    const whole = declared === null ? readCounting(request, maxBytes) : request.arrayBuffer();
    whole.catch(() => {}); // After a timeout, nothing waits for it any more.
    bytes = await Promise.race([whole, stall.ended]);
  } catch (cause) {
    if (cause instanceof GloveboxError) throw cause;
    throw new GloveboxError('invalid_input', 'The body is incomplete: the connection broke.', {
      hint: 'Send the whole request again.',
      cause,
    });
  } finally {
    stall[Symbol.dispose]();
  }
  try {
    return DECODER.decode(bytes);
  } catch (cause) {
    throw new GloveboxError('invalid_input', 'The body is not valid UTF-8.', { hint: 'Send JSON in UTF-8.', cause });
  }
}

/** Rejects when the connection has received no byte for `stallMs` milliseconds. */
function watchForStall(c: Context<Env>, stallMs: number): Disposable & { readonly ended: Promise<never> } {
  const { promise, reject } = Promise.withResolvers<never>();
  promise.catch(() => {});
  const socket = c.env.incoming?.socket;
  let previous = socket?.bytesRead;
  const timer = setInterval(() => {
    if (socket?.bytesRead === previous) reject(stalled(stallMs));
    previous = socket?.bytesRead;
  }, stallMs);
  return { ended: promise, [Symbol.dispose]: () => clearInterval(timer) };
}

async function readCounting(request: Request, maxBytes: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  const reader = request.body?.getReader();
  for (let read = await reader?.read(); read && !read.done; read = await reader?.read()) {
    size += read.value.byteLength;
    if (size > maxBytes) {
      if (reader) void discardRest(new WebPieces(reader));
      throw tooLarge(maxBytes);
    }
    chunks.push(read.value);
  }
  return Buffer.concat(chunks);
}

/** The body of a request as a stream. It is never held in memory: it is received as fast as it is read. */
export class RequestBody {
  readonly #request: Request;
  readonly #stallMs: number;
  readonly #incoming: Readable | undefined;
  #pieces: BodyPieces | undefined;

  /** @param incoming the same request as Node's server received it, which takes less work to read */
  constructor(request: Request, stallMs = STALL_MS, incoming?: Readable) {
    this.#request = request;
    this.#stallMs = stallMs;
    this.#incoming = incoming;
  }

  /** Length of the body in bytes, if the headers give it. */
  get declared(): number | undefined {
    const length = this.#request.headers.get('content-length');
    return length === null ? undefined : Number(length);
  }

  /**
   * Yields the body.
   * @param fleeting whether each piece may be used only until the next is asked for, because its memory is freed then
   * @throws GloveboxError when it is incomplete, stalls, or is larger than `maxBytes`
   */
  async *chunks(maxBytes: number, fleeting = false): AsyncGenerator<Uint8Array, void, undefined> {
    const pieces = this.#open();
    let size = 0;
    while (pieces) {
      const piece = pieces.take() ?? (await this.#unlessStalled(pieces.next().catch(brokenOff)));
      if (!piece) return;
      size += piece.byteLength;
      if (size > maxBytes) throw tooLargeForDisk(maxBytes);
      yield piece;
      if (fleeting) freePiece(piece);
    }
  }

  /** Checks the declared length before the body is read. @throws GloveboxError `payload_too_large` */
  checkLength(maxBytes: number): void {
    if (this.declared !== undefined && this.declared > maxBytes) throw tooLargeForDisk(maxBytes);
  }

  /** Reads the rest of a refused body for a moment. */
  async discard(): Promise<void> {
    if (!this.#pieces && waitsForContinue(this.#request)) return;
    const pieces = this.#open();
    if (pieces) await discardRest(pieces);
  }

  #open(): BodyPieces | undefined {
    if (this.#pieces) return this.#pieces;
    const { body } = this.#incoming ? {} : this.#request;
    if (this.#incoming) this.#pieces = new IncomingPieces(this.#incoming);
    else if (body) this.#pieces = new WebPieces(body.getReader());
    return this.#pieces;
  }

  async #unlessStalled<T>(read: Promise<T>): Promise<T> {
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(() => late.reject(stalled(this.#stallMs)), this.#stallMs);
    read.catch(() => {}); // After a timeout, nothing waits for it any more.
    try {
      return await Promise.race([read, late.promise]);
    } finally {
      clearTimeout(timer);
    }
  }
}

/**
 * Answers a refused body that is still being sent. The answer is sent at once, and the connection is read for a moment
 * longer, because a client that is disconnected while it sends never sees the answer.
 */
export async function answerWhileRead(answer: Response, rest: Promise<void>): Promise<Response> {
  const text = new Uint8Array(await answer.arrayBuffer());
  const headers = new Headers(answer.headers);
  headers.set('Content-Length', String(text.byteLength));
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => {
      controller.enqueue(text);
      void rest.then(() => controller.close()).catch(() => {}); // The client may have gone.
    },
  });
  return new Response(body, { status: answer.status, headers });
}

/** Reads a body that is not needed, unless something reads it already. */
export async function discardBody(request: Request): Promise<void> {
  if (request.bodyUsed || waitsForContinue(request) || request.body?.locked) return;
  const reader = request.body?.getReader();
  if (reader) await discardRest(new WebPieces(reader));
}

/** Whether a client sends its body only after `100 Continue`. */
function waitsForContinue(request: Request): boolean {
  return request.headers.get('expect')?.toLowerCase() === '100-continue';
}

async function discardRest(pieces: BodyPieces): Promise<void> {
  const timer = setTimeout(() => void pieces.cancel().catch(() => {}), DISCARD_MS);
  const deadline = Date.now() + DISCARD_MS;
  try {
    while (Date.now() < deadline && (pieces.take() ?? (await pieces.next())));
    await pieces.cancel();
  } catch {
    // The client has gone.
  } finally {
    clearTimeout(timer);
  }
}

function brokenOff(cause: unknown): never {
  throw new GloveboxError('invalid_input', 'The body is incomplete: the connection broke. Nothing was stored.', {
    hint: 'Send the whole request again.',
    cause,
  });
}

/** Error of a transfer in which no byte has moved for `stallMs` milliseconds. */
export function stalled(stallMs: number): GloveboxError {
  return new GloveboxError('request_timeout', `No data arrived for ${stallMs / 1000} s. Nothing was stored.`);
}

function tooLarge(maxBytes: number): GloveboxError {
  return new GloveboxError('payload_too_large', `The request is larger than ${maxBytes} bytes.`);
}

function tooLargeForDisk(maxBytes: number): GloveboxError {
  const message = `The request is larger than the disk of a session, which has ${maxBytes} bytes.`;
  return new GloveboxError('payload_too_large', message, {
    hint: 'Send less, or ask the operator to raise GLOVEBOX_DISK_MB.',
  });
}
