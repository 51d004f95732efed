import { z } from 'zod';
import { GloveboxError } from '../errors.ts';
import type { ExecutionEnd, Executor } from '../execution/request.ts';
import type { ArchiveLimits } from '../tar/entry.ts';
import { readTar } from '../tar/reader.ts';
import { writeTar } from '../tar/writer.ts';
import { decodeBundle, encodeBundle } from './bundle.ts';
import { FileOperation, type FileOperationOptions, type FileRequest } from './file-operation.ts';
import { type LeftOut, leftOutSchema } from './left-out.ts';

/** A file, folder, link or something else, as it was a moment ago. */
export interface FileEntry {
  /** Path from the workspace on, as names are spelled for callers; `.` for the workspace itself. */
  readonly path: string;
  readonly type: 'file' | 'directory' | 'link' | 'other';
  /** Bytes; 0 for what is no regular file. */
  readonly size: number;
  readonly modified: Date;
}

/** The part of a file that is wanted: from an offset on, or its last bytes. */
export type FileRange = { readonly offset?: number; readonly length?: number } | { readonly suffix: number };

/** What must hold of a file for a request to be done, as RFC 9110 has it: tags as OpenFile has them, times in whole seconds. */
export interface Conditions {
  readonly match?: '*' | readonly string[];
  readonly unmodified_since?: number;
  readonly none_match?: '*' | readonly string[];
  readonly modified_since?: number;
}

/** Names the file that a range is wanted of. */
export type RangeCondition = { readonly tag: string } | { readonly modified: number };

/** Bytes that come as they are taken; whoever has it takes or closes it. */
export interface FileStream {
  readonly bytes: AsyncIterable<Buffer>;
  /** Ends what sends them, because nobody wants more or for a failure. Idempotent. */
  close(failure?: unknown): Promise<void>;
}

/** A tar that is being made. */
export interface TarStream extends FileStream {
  readonly leftOut: LeftOut;
}

/** A file that is being read. */
export interface OpenFile extends FileStream {
  readonly entry: FileEntry;
  /** Another with each change of it. */
  readonly tag?: string | undefined;
  readonly offset: number;
  /** Bytes that come. */
  readonly length: number;
  /** Whether the range was passed over, since the file is not the one that it was meant for. */
  readonly whole: boolean;
  /** Whether the caller has it as it is, so that nothing comes. */
  readonly notModified: boolean;
}

export interface Written {
  readonly size: number;
  /** Whether there was no such file before. */
  readonly created: boolean;
  readonly tag?: string | undefined;
  readonly end: ExecutionEnd;
}

/** Limits of tars that go in or out; their bytes are limited by the caller. */
const MAX_ARCHIVE_ENTRIES = 50_000;
/** Bytes that one call reads into memory, if its caller does not say. */
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
  tag: tag.optional(), // An earlier image knows none.
  offset: count,
  length: count,
  whole: z.boolean().default(false),
  not_modified: z.boolean().default(false),
});
const writeSchema = ok.extend({ size: count, created: z.boolean(), tag: tag.optional() });
const packSchema = ok.extend({ entries: count, size: count, left_out: leftOutSchema.default({ count: 0, names: [] }) });
const unpackSchema = ok.extend({ files: count, size: count });

/**
 * The files of a session, by paths from its workspace on; every call is a process of the session's own user in there.
 * All throw GloveboxError: `file_not_found`, `invalid_input`, `payload_too_large`, `file_exists`, `precondition_failed`, `disk_full`,
 * `session_busy`, or what a sandbox that is lost makes of it.
 */
export class SessionFiles {
  readonly #executor: Executor;
  readonly #signal: AbortSignal;

  /** @param signal ends what is under way */
  constructor(executor: Executor, signal: AbortSignal = new AbortController().signal) {
    this.#executor = executor;
    this.#signal = signal;
  }

  async stat(path: string): Promise<FileEntry> {
    return (await this.#ask({ op: 'stat', path }, statSchema)).entry;
  }

  /** What is in a folder, by path; those nearest to it where there are more than `limit`, which is at most 1000. */
  async list(
    path = '',
    options: { readonly recursive?: boolean; readonly limit?: number } = {},
  ): Promise<{ entries: FileEntry[]; truncated: boolean; end: ExecutionEnd }> {
    // The files of a session are all that there is to a caller of this: the top of them is the workspace.
    const folder = /^\/+$/.test(path) ? '' : path;
    return await this.#ask({ op: 'list', path: folder, ...options }, listSchema);
  }

  /** Opens a regular file: what comes of it is exactly as long as the answer says. */
  async open(
    path: string,
    range: FileRange = {},
    options: { readonly conditions?: Conditions; readonly if_range?: RangeCondition } = {},
  ): Promise<OpenFile> {
    const request: FileRequest = { op: 'read', path, ...range, ...options };
    const { call, answer } = await this.#start(request, readSchema, { streams: true });
    const { ok: _, not_modified: notModified, ...opened } = answer;
    return { ...opened, notModified, bytes: call.bytes(opened.length), close: (failure) => call.close(failure) };
  }

  /**
   * Reads a file, or a part of it, that fits in memory.
   * @param most bytes that may be read
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
   * Puts a file under its name once all of it has come; an input that throws leaves what was there before.
   * @param content its bytes, or a text as UTF-8
   */
  async write(
    path: string,
    content: string | Uint8Array | AsyncIterable<Uint8Array>,
    options: {
      /** Bytes that come, if that is known. */
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

  /** Deletes a file, a link itself, an empty folder or, if `recursive`, any folder below the workspace. */
  async delete(
    path: string,
    options: { readonly recursive?: boolean; readonly conditions?: Conditions } = {},
  ): Promise<{ end: ExecutionEnd }> {
    return await this.#ask({ op: 'delete', path, ...options }, ok);
  }

  /** A folder as a tar, without what no tar should hold: links that leave it, devices and the like. */
  async pack(path: string, maxBytes: number): Promise<TarStream> {
    const limits: ArchiveLimits = { maxEntries: MAX_ARCHIVE_ENTRIES, maxBytes };
    const request: FileRequest = { op: 'pack', path, max_entries: limits.maxEntries, max_bytes: maxBytes };
    const { call, answer } = await this.#start(request, packSchema, { streams: true });
    const leftOut = answer.left_out;
    return { bytes: writeTar(decodeBundle(call.bytes(), limits)), close: (failure) => call.close(failure), leftOut };
  }

  /** Makes a folder, and those above it, where there is none. */
  async makeFolder(path: string): Promise<{ files: number; size: number; end: ExecutionEnd }> {
    const { files, size, end } = await this.#ask({ op: 'unpack', path }, unpackSchema, { input: nothing() });
    return { files, size, end };
  }

  /** Unpacks a tar into a folder; if it is refused half-way, the files before that stay. */
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
