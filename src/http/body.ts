import type { Context } from 'hono';
import { GloveboxError } from '../errors.ts';
import { refuseEncoded } from './body-type.ts';
import type { Env } from './route.ts';

const DECODER = new TextDecoder('utf-8', { fatal: true });

const DISCARD_MS = 2000;
/** How long a body may bring no byte. */
export const STALL_MS = 60_000;

/**
 * The text of a request's body.
 * @throws GloveboxError `payload_too_large`, as soon as that is known; `request_timeout` when no more comes;
 *   `unsupported_media_type` when it is compressed; `invalid_input` when it is no UTF-8, or breaks off.
 */
export async function readBody(c: Context<Env>, maxBytes: number, stallMs = STALL_MS): Promise<string> {
  const request = c.req.raw;
  const declared = request.headers.get('content-length');
  if (declared !== null && Number(declared) > maxBytes) throw tooLarge(maxBytes);
  refuseEncoded(request);
  using stall = watchForStall(c, stallMs);
  let bytes: ArrayBuffer | Uint8Array;
  try {
    // Node holds a client to the length that it declared; only without one must we count.
    const whole = declared === null ? readCounting(request, maxBytes) : request.arrayBuffer();
    whole.catch(() => {}); // When it stalls, nobody waits for it any more.
    bytes = await Promise.race([whole, stall.ended]);
  } catch (cause) {
    if (cause instanceof GloveboxError) throw cause;
    throw new GloveboxError('invalid_input', 'The body broke off.', { hint: 'Send the whole request again.', cause });
  }
  try {
    return DECODER.decode(bytes);
  } catch (cause) {
    throw new GloveboxError('invalid_input', 'The body is not valid UTF-8.', { hint: 'Send JSON in UTF-8.', cause });
  }
}

/** Rejects when a connection has brought no byte for so long. */
function watchForStall(c: Context<Env>, stallMs: number): Disposable & { readonly ended: Promise<never> } {
  const { promise, reject } = Promise.withResolvers<never>();
  promise.catch(() => {});
  const socket = c.env.incoming?.socket;
  let seen = socket?.bytesRead;
  const timer = setInterval(() => {
    if (socket?.bytesRead === seen) reject(stalled(stallMs));
    seen = socket?.bytesRead;
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
      if (reader) void discardRest(reader);
      throw tooLarge(maxBytes);
    }
    chunks.push(read.value);
  }
  return Buffer.concat(chunks);
}

/** A body that is never held: what takes it is as fast as what sends it. */
export class RequestBody {
  readonly #request: Request;
  readonly #stallMs: number;
  #reader: ReadableStreamDefaultReader<Uint8Array> | undefined;

  constructor(request: Request, stallMs = STALL_MS) {
    this.#request = request;
    this.#stallMs = stallMs;
  }

  /** Bytes that its head announces, if it does. */
  get declared(): number | undefined {
    const length = this.#request.headers.get('content-length');
    return length === null ? undefined : Number(length);
  }

  /** @throws GloveboxError when the client goes away before the end, sends nothing for too long, or too much */
  async *chunks(maxBytes: number): AsyncGenerator<Uint8Array, void, undefined> {
    this.#reader ??= this.#request.body?.getReader();
    let size = 0;
    while (this.#reader) {
      const { done, value } = await this.#unlessStalled(this.#reader.read().catch(brokenOff));
      if (done) return;
      size += value.byteLength;
      if (size > maxBytes) throw tooLargeForDisk(maxBytes);
      yield value;
    }
  }

  /** @throws GloveboxError `payload_too_large` before anything is read, when the head says so */
  checkLength(maxBytes: number): void {
    if (this.declared !== undefined && this.declared > maxBytes) throw tooLargeForDisk(maxBytes);
  }

  /** Reads on for a moment after a refusal. */
  async discard(): Promise<void> {
    if (!this.#reader && waitsForWord(this.#request)) return;
    this.#reader ??= this.#request.body?.getReader();
    if (this.#reader) await discardRest(this.#reader);
  }

  async #unlessStalled<T>(read: Promise<T>): Promise<T> {
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(() => late.reject(stalled(this.#stallMs)), this.#stallMs);
    read.catch(() => {}); // When it stalls, nobody waits for it any more.
    try {
      return await Promise.race([read, late.promise]);
    } finally {
      clearTimeout(timer);
    }
  }
}

/**
 * A refusal of a body that is still coming: it goes out at once, and the connection is read for a moment more,
 * because a client that is cut off while it sends never sees the answer.
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

/** Reads a body that nobody has begun to read, and nobody wants. */
export async function discardBody(request: Request): Promise<void> {
  if (request.bodyUsed || waitsForWord(request) || request.body?.locked) return;
  const reader = request.body?.getReader();
  if (reader) await discardRest(reader);
}

/** Whether a client sends its body only when it is told to go on. */
function waitsForWord(request: Request): boolean {
  return request.headers.get('expect')?.toLowerCase() === '100-continue';
}

async function discardRest(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<void> {
  const timer = setTimeout(() => void reader.cancel().catch(() => {}), DISCARD_MS);
  const deadline = Date.now() + DISCARD_MS;
  try {
    while (Date.now() < deadline && !(await reader.read()).done);
    await reader.cancel();
  } catch {
    // The client has gone, which is as good.
  } finally {
    clearTimeout(timer);
  }
}

function brokenOff(cause: unknown): never {
  throw new GloveboxError('invalid_input', 'The body broke off; nothing of it was kept.', {
    hint: 'Send the whole request again.',
    cause,
  });
}

export function stalled(stallMs: number): GloveboxError {
  return new GloveboxError('request_timeout', `Nothing came for ${stallMs / 1000} s; nothing of it was kept.`);
}

function tooLarge(maxBytes: number): GloveboxError {
  return new GloveboxError('payload_too_large', `The request is larger than ${maxBytes} bytes.`);
}

function tooLargeForDisk(maxBytes: number): GloveboxError {
  const message = `The request is larger than the ${maxBytes} bytes of a session's disk.`;
  return new GloveboxError('payload_too_large', message, {
    hint: 'Send less, or have the operator raise GLOVEBOX_DISK_MB.',
  });
}
