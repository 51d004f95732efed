import { setTimeout as sleep } from 'node:timers/promises';
import { GloveboxError } from '../errors.ts';

const DECODER = new TextDecoder('utf-8', { fatal: true });

const DISCARD_MS = 2000;
/** The connection is closed with the answer, and what is unread then may take the answer with it. */
const WAIT_FOR_REST_MS = 300;

/**
 * The text of a request's body.
 * @throws GloveboxError `payload_too_large`, as soon as that is known; `invalid_input` when it is compressed,
 *   no UTF-8, or breaks off.
 */
export async function readBody(request: Request, maxBytes: number): Promise<string> {
  const declared = request.headers.get('content-length');
  if (declared !== null && Number(declared) > maxBytes) {
    const reader = request.body?.getReader();
    if (reader) await Promise.race([discardRest(reader), sleep(WAIT_FOR_REST_MS)]);
    throw tooLarge(maxBytes);
  }
  let bytes: ArrayBuffer | Uint8Array;
  try {
    // Node holds a client to the length that it declared; only without one must we count.
    bytes = declared === null ? await readCounting(request, maxBytes) : await request.arrayBuffer();
  } catch (cause) {
    if (cause instanceof GloveboxError) throw cause;
    throw new GloveboxError('invalid_input', 'The body broke off.', { hint: 'Send the whole request again.', cause });
  }
  // Once it is read: what comes next over the connection is another request.
  refuseEncoded(request);
  try {
    return DECODER.decode(bytes);
  } catch (cause) {
    throw new GloveboxError('invalid_input', 'The body is not valid UTF-8.', { hint: 'Send JSON in UTF-8.', cause });
  }
}

/** @throws GloveboxError `invalid_input` for a compressed body: a small one could become any size. */
function refuseEncoded(request: Request): void {
  const encoding = request.headers.get('content-encoding')?.trim().toLowerCase() ?? 'identity';
  if (encoding === 'identity') return;
  throw new GloveboxError('invalid_input', `The body is encoded as ${JSON.stringify(encoding.slice(0, 64))}.`, {
    hint: 'Encodings are not taken: send it as it is, without the header Content-Encoding.',
  });
}

/** Whether a tar is sent. */
export function isTar(c: { readonly req: { header(name: string): string | undefined } }): boolean {
  return c.req.header('content-type')?.split(';', 1)[0]?.trim().toLowerCase() === 'application/x-tar';
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

/** Reads on for a while, because a client that is cut off while it sends never sees the answer. */
export async function discardRest(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<void> {
  const deadline = Date.now() + DISCARD_MS;
  try {
    while (Date.now() < deadline && !(await reader.read()).done);
    await reader.cancel();
  } catch {
    // The client has gone, which is as good.
  }
}

function tooLarge(maxBytes: number): GloveboxError {
  return new GloveboxError('payload_too_large', `The request is larger than ${maxBytes} bytes.`);
}
