import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import type { Executor } from '../execution/request.ts';
import { ByteReader } from '../tar/byte-reader.ts';
import { FileOperation, garbled } from './file-operation.ts';
import { type LeftOut, NOTHING_LEFT_OUT } from './left-out.ts';
import { takePacked } from './packed.ts';
import { type ArchivedContents, type KeptEntry, type SavedEntry, sentLineSchema } from './workspace-entry.ts';

/**
 * Longest line of the stream that carries all files of a session, in its workspace and in `/tmp`, to or from its sandbox.
 * In bytes. sandbox-image/runner/_glovebox/files/workspace.py implements the same format.
 */
const LONGEST_LINE = 64 * 1024;
const MAX_ENTRIES = 200_000;
/** Most bytes of the paths of all entries together. */
const MAX_PATH_BYTES = 32 * 1024 * 1024;

const savedSchema = z.object({ ok: z.literal(true), entries: z.number().int(), size: z.number().int() });
const restoredSchema = z.object({
  ok: z.literal(true),
  entries: z.number().int(),
  /** Number of files of `/tmp` that did not fit there. */
  missing: z.number().int().nonnegative().default(0),
});

export interface SaveOptions {
  readonly signal: AbortSignal;
  /** Most bytes of all files together. Files with holes may appear larger than their disk. */
  readonly maxBytes: number;
  /** Files that the archive has already. */
  readonly known: readonly { readonly path: string; readonly mark: string }[];
  /** Limit for a transfer in the background. Default: no limit. */
  readonly bytesPerSecond?: number;
  /** Whether the sandbox compresses what gains by it, if it can. */
  readonly pack: boolean;
}

/** Workspace that a sandbox is sending. */
export interface SentWorkspace {
  readonly entries: AsyncIterable<SavedEntry>;
  /** Number of entries when the transfer began. */
  readonly count: number;
  /** Number of files and folders that could not be read. Known after the last entry. */
  readonly unreadable: () => number;
  /** Names of those, and of sockets and the like, which last no longer than their process. Known after the last entry. */
  readonly leftOut: () => LeftOut;
  /** Reads the rest without using it. */
  skip(): Promise<void>;
  close(): Promise<void>;
}

/** Starts to read a workspace. @throws GloveboxError `payload_too_large` or `sandbox_lost` */
export async function sendWorkspace(sandbox: Executor, options: SaveOptions): Promise<SentWorkspace> {
  const { signal, maxBytes, known, bytesPerSecond, pack } = options;
  const request = { op: 'save', path: '', max_entries: MAX_ENTRIES, max_bytes: maxBytes, pack } as const;
  const { call, answer } = await FileOperation.start(sandbox, request, savedSchema, {
    signal,
    streams: true,
    input: asLines(known),
  });
  let unreadable = 0;
  let leftOut = NOTHING_LEFT_OUT;
  const bytes = bytesPerSecond === undefined ? call.bytes() : slowed(call.bytes(), bytesPerSecond, signal);
  const entries = decode(bytes, maxBytes, (end) => {
    unreadable = end.unreadable;
    leftOut = end.left_out ?? NOTHING_LEFT_OUT;
  });
  const skip = async () => {
    for await (const { body = [] } of entries) for await (const _ of body);
  };
  return {
    entries,
    count: answer.entries,
    unreadable: () => unreadable,
    leftOut: () => leftOut,
    skip,
    close: () => call.close(),
  };
}

/**
 * Fills the workspace and `/tmp` of an unused sandbox.
 * @throws GloveboxError when the workspace cannot be filled completely
 */
export async function fillWorkspace(
  sandbox: Executor,
  entries: AsyncIterable<ArchivedContents>,
  signal: AbortSignal,
): Promise<{ readonly missing: number }> {
  const { call, answer } = await FileOperation.start(sandbox, { op: 'restore', path: '' }, restoredSchema, {
    signal,
    input: encode(entries),
  });
  // All files are there. No need to wait for the program's end: the runner makes the next execution wait for it.
  call.leave();
  return { missing: answer.missing };
}

async function* asLines(values: readonly object[]): AsyncGenerator<Buffer, void, undefined> {
  const PER_PIECE = 500;
  for (let at = 0; at < values.length; at += PER_PIECE) {
    const lines = values.slice(at, at + PER_PIECE).map((value) => `${JSON.stringify(value)}\n`);
    yield Buffer.from(lines.join(''));
  }
}

/** Encodes entries. Joins small pieces, because each piece becomes a frame; passes large ones on without a copy. */
async function* encode(entries: AsyncIterable<ArchivedContents>): AsyncGenerator<Uint8Array, void, undefined> {
  const LARGE = 64 * 1024;
  let held: Uint8Array[] = [];
  let size = 0;
  function* add(piece: Uint8Array): Generator<Uint8Array, void, undefined> {
    if (size > 0 && size + piece.byteLength > LARGE) yield take();
    held.push(piece);
    size += piece.byteLength;
  }
  const take = () => {
    const piece = held.length === 1 && held[0] ? held[0] : Buffer.concat(held);
    held = [];
    size = 0;
    return piece;
  };
  for await (const { entry, body, packed } of entries) {
    const { mark: _, ...fields } = entry;
    yield* add(Buffer.from(`${JSON.stringify({ ...fields, packed })}\n`));
    for await (const piece of body) yield* add(piece);
  }
  if (size > 0) yield take();
}

async function* decode(
  source: AsyncIterable<Uint8Array>,
  maxBytes: number,
  onEnd: (end: Extract<z.infer<typeof sentLineSchema>, { end: true }>) => void,
): AsyncGenerator<SavedEntry, void, undefined> {
  const bytes = new ByteReader(source);
  const room = { entries: MAX_ENTRIES, bytes: maxBytes * 2, paths: MAX_PATH_BYTES };
  try {
    for (;;) {
      const line = parseLine(await bytes.line(LONGEST_LINE));
      if ('end' in line) {
        onEnd(line);
        break;
      }
      const { same, packed, ...sent } = line;
      const entry: KeptEntry = { ...sent, size: line.type === 'file' ? line.size : 0 };
      room.entries -= 1;
      room.bytes -= entry.size;
      room.paths -= Buffer.byteLength(entry.path) + (entry.target?.length ?? 0);
      if (room.entries < 0 || room.bytes < 0 || room.paths < 0) throw garbled();
      if (entry.type !== 'file' || same) yield { entry };
      else if (packed) yield* withPackedBody(entry, bytes);
      else yield* withBody(entry, bytes);
    }
    // Read on to the end of the stream, which throws if the operation failed.
    if ((await bytes.take(1)).length > 0) throw garbled();
  } finally {
    await bytes.close();
  }
}

async function* withBody(entry: KeptEntry, bytes: ByteReader): AsyncGenerator<SavedEntry, void, undefined> {
  let left = entry.size;
  async function* read(): AsyncGenerator<Buffer, void, undefined> {
    for await (const piece of bytes.stream(left)) {
      left -= piece.length;
      yield piece;
    }
  }
  yield { entry, body: read() };
  if (left > 0) throw garbled();
}

async function* withPackedBody(entry: KeptEntry, bytes: ByteReader): AsyncGenerator<SavedEntry, void, undefined> {
  let taken = false;
  async function* read(): AsyncGenerator<Buffer, void, undefined> {
    yield* takePacked(bytes, entry.size, garbled);
    taken = true;
  }
  yield { entry, body: read(), packed: true };
  if (!taken) throw garbled();
}

function parseLine(line: Buffer | undefined): z.infer<typeof sentLineSchema> {
  try {
    return sentLineSchema.parse(JSON.parse(line?.toString('utf8') ?? ''));
  } catch (cause) {
    throw garbled(cause);
  }
}

async function* slowed(
  source: AsyncIterable<Buffer>,
  bytesPerSecond: number,
  signal: AbortSignal,
): AsyncGenerator<Buffer, void, undefined> {
  const started = performance.now();
  let sent = 0;
  for await (const chunk of source) {
    yield chunk;
    sent += chunk.length;
    const aheadMs = (sent / bytesPerSecond) * 1000 - (performance.now() - started);
    if (aheadMs > 20) await sleep(aheadMs, undefined, { signal });
  }
}
