import { z } from 'zod';
import { type ErrorCode, GloveboxError } from '../errors.ts';
import type { ExecutionEnd, Executor, Transfer } from '../execution/request.ts';
import { parseSandboxJson } from '../lib/sandbox-json.ts';
import { FileReply } from './file-reply.ts';

/** Time limit of an operation without file contents, in milliseconds. */
const ASK_LIMIT_MS = 30_000;
/** Time limit of an upload or a download, in milliseconds, also for slow clients. */
const TRANSFER_LIMIT_MS = 3_600_000;
/** Largest chunk to send, in bytes. */
const CHUNK_BYTES = 256 * 1024;
/** Size up to which a copy costs less than a second buffer, in bytes. */
const COPIED_BYTES = 16 * 1024;

const DISK_HINT =
  'Delete files that are no longer needed, or have the operator raise GLOVEBOX_DISK_MB. Files count against GLOVEBOX_MEMORY_MB as well.';

/** Error codes of the program in the sandbox. */
const CODES: Readonly<Record<string, { code: ErrorCode; hint?: string; restHint?: string }>> = {
  file_not_found: { code: 'file_not_found' },
  invalid_input: { code: 'invalid_input' },
  is_folder: {
    code: 'invalid_input',
    hint: 'List the folder and name a file in it; over REST, ?format=tar gets all of it.',
    restHint: 'GET /sessions/{id}/files?path=… lists the folder; ?format=tar gets all of it.',
  },
  not_empty: {
    code: 'invalid_input',
    hint: 'Delete it with recursive, or what is in it first.',
    restHint: 'Delete it with ?recursive=1, or what is in it first.',
  },
  file_exists: { code: 'file_exists' },
  precondition_failed: { code: 'precondition_failed' },
  disk_full: { code: 'disk_full', hint: DISK_HINT },
  damaged: { code: 'sandbox_lost' },
  too_large: { code: 'payload_too_large', hint: 'Fetch it in parts: single files, or smaller folders.' },
};

/** Error of a workspace that could not be filled, because its archive holds something else than contents of files. */
export class DamagedContents extends GloveboxError {}

const refusalSchema = z.object({ error: z.object({ code: z.string().max(64), message: z.string().max(20_000) }) });

/** Request for an operation of sandbox-image/runner/_glovebox/files/files.py or workspace.py. */
export interface FileRequest extends Readonly<Record<string, unknown>> {
  readonly op: 'stat' | 'list' | 'read' | 'write' | 'delete' | 'pack' | 'unpack' | 'save' | 'restore';
  readonly path: string;
}

export interface FileOperationOptions {
  readonly signal: AbortSignal;
  /** Input to send to the program, if any. The time limit is then that of a transfer. */
  readonly input?: AsyncIterable<Uint8Array>;
  /** Whether the operation returns file contents. */
  readonly streams?: boolean;
}

/** Operation on the files of a session. Its output is not trusted, because it comes from the sandbox. */
export class FileOperation {
  readonly #output = new FileReply();
  readonly #cancel = new AbortController();
  readonly #end: Promise<ExecutionEnd>;
  /** Time since which the client has moved no byte. */
  #idleSince: number | undefined;
  #inputError: unknown;
  #answered = false;

  private constructor(executor: Executor, file: FileRequest, options: FileOperationOptions) {
    const { input, streams } = options;
    const execution = executor.execute(
      {
        kind: file.op === 'save' || file.op === 'restore' ? 'archive' : 'files',
        file,
        ...(input ? { stdin_stream: true } : {}),
      },
      {
        timeoutMs: input || streams ? TRANSFER_LIMIT_MS : ASK_LIMIT_MS,
        signal: AbortSignal.any([options.signal, this.#cancel.signal]),
        onOutput: (stream, chunk, keep) => (stream === 'stdout' ? this.#output.take(chunk, keep) : undefined),
        ...(input || streams ? { transfer: this.#transfer() } : {}),
        ...(input ? { stdin: this.#frame(input) } : {}),
      },
    );
    this.#end = execution.finally(() => this.#output.end());
    this.#end.catch(() => {}); // Callers that wait for the end get the error.
  }

  /**
   * Starts an operation and waits for its answer, the line before the bytes.
   * @throws GloveboxError of the program, error of the input, or `sandbox_lost`
   */
  static async start<T>(
    executor: Executor,
    file: FileRequest,
    schema: z.ZodType<T>,
    options: FileOperationOptions,
  ): Promise<{ call: FileOperation; answer: T }> {
    const call = new FileOperation(executor, file, options);
    try {
      return { call, answer: await call.#answer(schema) };
    } catch (error) {
      await call.close(error);
      throw error;
    }
  }

  /**
   * Reads the bytes after the answer. The last chunk is returned only when the operation has succeeded, so that a
   * complete stream is always a good one.
   * @throws GloveboxError when there are not exactly `length` bytes, if that is known
   */
  async *bytes(length?: number): AsyncGenerator<Buffer, void, undefined> {
    let last: Buffer | undefined;
    for await (const batch of this.#counted(length)) {
      for (const piece of batch) {
        // A copy, because the memory of a piece is used again.
        const next = Buffer.from(piece);
        if (last) yield* this.#handed(last);
        last = next;
      }
    }
    if (last) yield last;
  }

  /**
   * Reads the bytes after the answer, of which there are `length`, by pieces that may be used until the next are asked for.
   * The last ones are returned only when the operation has succeeded.
   * @throws GloveboxError when there are not exactly so many bytes
   */
  async *batches(length: number): AsyncGenerator<readonly Buffer[], void, undefined> {
    let left = length;
    for await (const batch of this.#counted(length)) {
      for (const piece of batch) left -= piece.length;
      if (left === 0) await this.finish();
      yield* this.#handed(batch);
    }
  }

  /** Waits for the successful end of the operation. The end also reports losses of the session. */
  async finish(): Promise<ExecutionEnd> {
    const end = await this.#end;
    if (end.status !== 'ok') throw this.#failureOf(end);
    return end;
  }

  /** Stops reading, and lets an operation that has answered end by itself. */
  leave(): void {
    this.#output.discard();
  }

  /** Ends the operation in any state, because no more is needed or because of a failure. Idempotent. */
  async close(failure?: unknown): Promise<void> {
    this.#cancel.abort(failure);
    this.#output.discard();
    await this.#end.catch(() => {});
  }

  /** Reads all batches. @throws GloveboxError unless the operation succeeds, with `length` bytes if that is known */
  async *#counted(length: number | undefined): AsyncGenerator<readonly Buffer[], void, undefined> {
    let left = length;
    for await (const batch of this.#output.batches()) {
      if (left !== undefined) for (const { length } of batch) left -= length;
      if (left !== undefined && left < 0) throw garbled();
      yield batch;
    }
    await this.finish();
    if (left) throw garbled();
  }

  /** Yields something to the client, and knows how long it is on its way. */
  *#handed<T>(what: T): Generator<T, void, undefined> {
    this.#idleSince = performance.now();
    yield what;
    this.#idleSince = undefined;
  }

  async #answer<T>(schema: z.ZodType<T>): Promise<T> {
    const line = await this.#output.header.catch(async () => {
      throw this.#failureOf(await this.#endOfSilence());
    });
    this.#answered = true;
    const parsed = parseJson(line);
    const refusal = refusalSchema.safeParse(parsed);
    if (refusal.success) throw toError(refusal.data.error);
    const answer = schema.safeParse(parsed);
    if (!answer.success) throw garbled(answer.error);
    return answer.data;
  }

  /** Ends a program that gave no valid answer. */
  #endOfSilence(): Promise<ExecutionEnd> {
    this.#cancel.abort(garbled());
    return this.#end;
  }

  /** Cuts the input into chunks. An empty chunk marks the end; without it, the program discards an incomplete input. */
  async *#frame(input: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer | [Buffer, Buffer], void, undefined> {
    try {
      this.#idleSince = performance.now();
      for await (const piece of input) {
        this.#idleSince = undefined;
        // The program has answered already, so it does not need the rest.
        if (this.#answered) return;
        for (let at = 0; at < piece.byteLength; at += CHUNK_BYTES) yield frame(piece.subarray(at, at + CHUNK_BYTES));
        this.#idleSince = performance.now();
      }
      this.#idleSince = undefined;
      yield lengthOf(0);
    } catch (error) {
      this.#inputError = error;
      throw error;
    }
  }

  #transfer(): Transfer {
    const idleSince = () => this.#idleSince;
    return {
      get idleSince() {
        return idleSince();
      },
      end: () => {
        this.#inputError ??= new GloveboxError(
          'request_timeout',
          'The transfer stalled while other transfers of this session waited.',
        );
        this.#cancel.abort(this.#inputError);
      },
    };
  }

  #failureOf(end: ExecutionEnd): unknown {
    if (this.#inputError !== undefined) return this.#inputError;
    if (end.status === 'out_of_memory')
      return new GloveboxError('disk_full', 'The memory of the session is full.', { hint: DISK_HINT });
    if (end.status === 'timeout')
      return new GloveboxError('sandbox_lost', 'The file operation took too long and was ended.');
    if (end.failure !== undefined) return new GloveboxError('session_busy', `Not done: ${end.failure.slice(0, 500)}.`);
    return garbled();
  }
}

function frame(piece: Uint8Array): Buffer | [Buffer, Buffer] {
  const bytes = Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength);
  const length = lengthOf(piece.byteLength);
  return piece.byteLength <= COPIED_BYTES ? Buffer.concat([length, bytes]) : [length, bytes];
}

function lengthOf(bytes: number): Buffer {
  const length = Buffer.allocUnsafe(4);
  length.writeUInt32BE(bytes);
  return length;
}

function parseJson(line: string): unknown {
  try {
    return parseSandboxJson(line);
  } catch (cause) {
    throw garbled(cause);
  }
}

function toError({ code, message }: { code: string; message: string }): GloveboxError {
  const known = Object.hasOwn(CODES, code) ? CODES[code] : undefined;
  if (!known) return garbled();
  const { code: ours, ...hints } = known;
  const Kind = code === 'damaged' ? DamagedContents : GloveboxError;
  return new Kind(ours, message.slice(0, 1000), hints);
}

export function garbled(cause?: unknown): GloveboxError {
  return new GloveboxError('sandbox_lost', 'The operation on the files of this session did not finish.', {
    hint: 'A program of the session may have disturbed it or changed the file meanwhile. Call again.',
    ...(cause === undefined ? {} : { cause }),
  });
}
