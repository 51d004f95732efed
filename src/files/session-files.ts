import { z } from 'zod';
import { GloveboxError } from '../errors.ts';
import type { ExecutionEnd, Executor } from '../execution/request.ts';
import type { ArchiveLimits } from '../tar/entry.ts';
import { readTar } from '../tar/reader.ts';
import { writeTar } from '../tar/writer.ts';
import { decodeBundle, encodeBundle } from './bundle.ts';
import { FileOperation, type FileOperationOptions, type FileRequest } from './file-operation.ts';
import { type LeftOut, leftOutSchema } from './left-out.ts';

/** State of a file, folder, link or other entry when it was read. */
export interface FileEntry {
  /** Path relative to the workspace, in the spelling for callers. `.` is the workspace itself. */
  readonly path: string;
  readonly type: 'file' | 'directory' | 'link' | 'other';
  /** Size in bytes; 0 for anything but a regular file. */
  readonly size: number;
  readonly modified: Date;
}

/** Requested part of a file: from an offset, or its last bytes. */
export type FileRange = { readonly offset?: number; readonly length?: number } | { readonly suffix: number };

/** Conditions of a request, as in RFC 9110. Tags are those of OpenFile; times are in whole seconds. */
export interface Conditions {
  readonly match?: '*' | readonly string[];
  readonly unmodified_since?: number;
  readonly none_match?: '*' | readonly string[];
  readonly modified_since?: number;
}

/** State of the file to which a range applies, as in the header If-Range. */
export type RangeCondition = { readonly tag: string } | { readonly modified: number };

/** Stream of bytes that is read on demand. The receiver must read it to the end or close it. */
export interface FileStream {
  readonly bytes: AsyncIterable<Buffer>;
  /** Ends the sender, because no more bytes are needed or because of a failure. Idempotent. */
  close(failure?: unknown): Promise<void>;
}

/** Tar that is being created. */
export interface TarStream extends FileStream {
  readonly leftOut: LeftOut;
}

/** File that is being read. */
export interface OpenFile extends FileStream {
  /** The same bytes, by pieces that may be used until the next are asked for, which takes less work. */
  readonly batches: AsyncIterable<readonly Buffer[]>;
  readonly entry: FileEntry;
  /** Tag of this state of the file. It changes with each change of the file. */
  readonly tag?: string | undefined;
  readonly offset: number;
  /** Number of bytes in the stream. */
  readonly length: number;
  /** Whether the whole file comes instead of the range, because the file has changed. */
  readonly whole: boolean;
  /** Whether the caller has the current state already, so that no bytes come. */
  readonly notModified: boolean;
}

export interface Written {
  readonly size: number;
  /** Whether the file is new. */
  readonly created: boolean;
  readonly tag?: string | undefined;
  readonly end: ExecutionEnd;
}

/** Most entries of a tar in either direction. The caller limits its bytes. */
const MAX_ARCHIVE_ENTRIES = 50_000;
/** Default for the most bytes that one call reads into memory. */
const DEFAULT_READ_BYTES = 64 * 1024 * 1024;

const count = z.number().int().nonnegative();
const entrySchema = z
  .object({
    path: z.string().max(16_384),
    type: z.enum(['file', 'directory', 'link', 'other']),
    size: count,
    modified_ms: z.number().int().min(0).max(8.64e15),
  })
  .transform(({ modified_ms, ...entry }): FileEntry => ({ ...entry, modified: new Date(modified_ms) }));
const tag = z.string().regex(/^[\da-f-]{1,80}$/);
const ok = z.object({ ok: z.literal(true) });
const statSchema = ok.extend({ entry: entrySchema });
const listSchema = ok.extend({ entries: z.array(entrySchema).max(1000), truncated: z.boolean() });
const readSchema = ok.extend({
  entry: entrySchema,
  tag: tag.optional(), // An older image sends none.
  offset: count,
  length: count,
  whole: z.boolean().default(false),
  not_modified: z.boolean().default(false),
});
const writeSchema = ok.extend({ size: count, created: z.boolean(), tag: tag.optional() });
const packSchema = ok.extend({ entries: count, size: count, left_out: leftOutSchema.default({ count: 0, names: [] }) });
const unpackSchema = ok.extend({ files: count, size: count });

/**
 * Reads and changes the files of a session. Paths are relative to its workspace. Each call runs a process in the sandbox,
 * as the session's own user.
 *
 * All methods throw GloveboxError: `file_not_found`, `invalid_input`, `payload_too_large`, `file_exists`,
 * `precondition_failed`, `disk_full`, `session_busy`, or `sandbox_lost`.
 */
export class SessionFiles {
  readonly #executor: Executor;
  readonly #signal: AbortSignal;

  /** @param signal ends running operations */
  constructor(executor: Executor, signal: AbortSignal = new AbortController().signal) {
    this.#executor = executor;
    this.#signal = signal;
  }

  async stat(path: string): Promise<FileEntry> {
    return (await this.#ask({ op: 'stat', path }, statSchema)).entry;
  }

  /** Lists a folder, sorted by path. If it has more than `limit` entries (at most 1000), the least deep ones are listed. */
  async list(
    path = '',
    options: { readonly recursive?: boolean; readonly limit?: number } = {},
  ): Promise<{ entries: FileEntry[]; truncated: boolean; end: ExecutionEnd }> {
    // For a caller of this method, the workspace is the root folder.
    const folder = /^\/+$/.test(path) ? '' : path;
    return await this.#ask({ op: 'list', path: folder, ...options }, listSchema);
  }

  /** Opens a regular file. The stream has exactly `length` bytes. */
  async open(
    path: string,
    range: FileRange = {},
    options: { readonly conditions?: Conditions; readonly if_range?: RangeCondition } = {},
  ): Promise<OpenFile> {
    const request: FileRequest = { op: 'read', path, ...range, ...options };
    const { call, answer } = await this.#start(request, readSchema, { streams: true });
    const { ok: _, not_modified: notModified, ...opened } = answer;
    const { length } = opened;
    const streams = { bytes: call.bytes(length), batches: call.batches(length) };
    return { ...opened, ...streams, notModified, close: (failure) => call.close(failure) };
  }

  /**
   * Reads a file, or a part of it, that fits in memory.
   * @param most limit in bytes
   * @throws GloveboxError `payload_too_large` if there are more than `most`
   */
  async read(
    path: string,
    range: FileRange = {},
    most = DEFAULT_READ_BYTES,
  ): Promise<Pick<OpenFile, 'entry' | 'offset' | 'length'> & { content: Buffer; end: ExecutionEnd }> {
    const { call, answer } = await this.#start({ op: 'read', path, ...range }, readSchema, { streams: true });
    try {
      const { entry, offset, length } = answer;
      if (length > most)
        throw new GloveboxError(
          'payload_too_large',
          `The file has ${entry.size} bytes, of which ${most} can be read at once.`,
          {
            hint: 'Read it in parts, or fetch it over REST: GET /sessions/{id}/files/{path}.',
          },
        );
      const chunks: Buffer[] = [];
      for await (const chunk of call.bytes(length)) chunks.push(chunk);
      return { entry, offset, length, content: Buffer.concat(chunks), end: await call.finish() };
    } catch (error) {
      await call.close(error);
      throw error;
    }
  }

  /**
   * Writes a file. It appears under its name once all bytes have arrived. If the input throws, the old file stays.
   * @param content bytes, or text to write as UTF-8
   */
  async write(
    path: string,
    content: string | Uint8Array | AsyncIterable<Uint8Array>,
    options: {
      /** Number of bytes, if known. */
      readonly size?: number;
      readonly mode?: 'create' | 'replace';
      readonly conditions?: Conditions;
    } = {},
  ): Promise<Written> {
    const bytes = typeof content === 'string' ? Buffer.from(content) : content;
    const known = bytes instanceof Uint8Array ? { size: bytes.byteLength } : {};
    const input = bytes instanceof Uint8Array ? once(bytes) : bytes;
    const request: FileRequest = { op: 'write', path, ...known, ...options };
    const { ok: _, ...written } = await this.#ask(request, writeSchema, { input });
    return written;
  }

  /** Deletes a file, a link (not its target), or an empty folder. With `recursive`, deletes any folder in the workspace. */
  async delete(
    path: string,
    options: { readonly recursive?: boolean; readonly conditions?: Conditions } = {},
  ): Promise<{ end: ExecutionEnd }> {
    return await this.#ask({ op: 'delete', path, ...options }, ok);
  }

  /** Creates a tar of a folder. Links that lead out of it, devices and the like are left out. */
  async pack(path: string, maxBytes: number): Promise<TarStream> {
    const limits: ArchiveLimits = { maxEntries: MAX_ARCHIVE_ENTRIES, maxBytes };
    const request: FileRequest = { op: 'pack', path, max_entries: limits.maxEntries, max_bytes: maxBytes };
    const { call, answer } = await this.#start(request, packSchema, { streams: true });
    const leftOut = answer.left_out;
    return { bytes: writeTar(decodeBundle(call.bytes(), limits)), close: (failure) => call.close(failure), leftOut };
  }

  /** Creates a folder and its parents, if they do not exist. */
  async makeFolder(path: string): Promise<{ files: number; size: number; end: ExecutionEnd }> {
    const { files, size, end } = await this.#ask({ op: 'unpack', path }, unpackSchema, { input: nothing() });
    return { files, size, end };
  }

  /** Unpacks a tar into a folder. If an entry is refused, the files before it stay. */
  async unpack(
    path: string,
    tar: AsyncIterable<Uint8Array>,
    maxBytes: number,
  ): Promise<{ files: number; size: number; end: ExecutionEnd }> {
    const entries = readTar(tar, { maxEntries: MAX_ARCHIVE_ENTRIES, maxBytes });
    const { files, size, end } = await this.#ask({ op: 'unpack', path }, unpackSchema, {
      input: encodeBundle(entries),
    });
    return { files, size, end };
  }

  async #ask<T extends object>(
    file: FileRequest,
    schema: z.ZodType<T>,
    options: Omit<FileOperationOptions, 'signal'> = {},
  ): Promise<T & { end: ExecutionEnd }> {
    const { call, answer } = await this.#start(file, schema, options);
    try {
      return { ...answer, end: await call.finish() };
    } finally {
      await call.close();
    }
  }

  #start<T>(file: FileRequest, schema: z.ZodType<T>, options: Omit<FileOperationOptions, 'signal'>) {
    return FileOperation.start(this.#executor, file, schema, { ...options, signal: this.#signal });
  }
}

async function* nothing(): AsyncGenerator<Buffer, void, undefined> {}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array, void, undefined> {
  yield bytes;
}
