import { z } from 'zod';
import { type ErrorCode, GloveboxError } from '../errors.ts';
import type { ExecutionEnd, Executor, Transfer } from '../execution/request.ts';
import { parseSandboxJson } from '../lib/sandbox-json.ts';
import { FileReply } from './file-reply.ts';

/** Milliseconds for an operation that carries no contents. */
const ASK_LIMIT_MS = 30_000;
/** Milliseconds for an upload or a download, however slow the client is. */
const TRANSFER_LIMIT_MS = 3_600_000;
/** Most bytes of one chunk that is sent. */
const CHUNK_BYTES = 256 * 1024;
/** Bytes up to which a copy costs less than a frame for the length alone. */
const COPIED_BYTES = 16 * 1024;

const DISK_HINT =
  'Delete files that are no longer needed, or have the operator raise GLOVEBOX_DISK_MB; files count against GLOVEBOX_MEMORY_MB as well.';

/** Codes of the program in the sandbox. */
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
  too_large: { code: 'payload_too_large', hint: 'Fetch it in parts: single files, or smaller folders.' },
};

const refusalSchema = z.object({ error: z.object({ code: z.string().max(64), message: z.string().max(20_000) }) });

/** An operation of sandbox-image/runner/_glovebox/files/files.py, or workspace.py, with what it is to be done to. */
export interface FileRequest extends Readonly<Record<string, unknown>> {
  readonly op: 'stat' | 'list' | 'read' | 'write' | 'delete' | 'pack' | 'unpack' | 'save' | 'restore';
  readonly path: string;
}

export interface FileOperationOptions {
  readonly signal: AbortSignal;
  /** What is sent to the program, if anything is: then the call may take as long as a client needs for it. */
  readonly input?: AsyncIterable<Uint8Array>;
  /** Whether contents come back. */
  readonly streams?: boolean;
}

/** One operation on the files of a session. What comes of it is as hostile as anything out of a sandbox. */
export class FileOperation {
  readonly #output = new FileReply();
  readonly #cancel = new AbortController();
  readonly #end: Promise<ExecutionEnd>;
  /** Since when the client has given or taken nothing. */
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
        onOutput: (stream, chunk) => (stream === 'stdout' ? this.#output.take(chunk) : undefined),
        ...(input || streams ? { transfer: this.#transfer() } : {}),
        ...(input ? { stdin: this.#frame(input) } : {}),
      },
    );
    this.#end = execution.finally(() => this.#output.end());
    this.#end.catch(() => {}); // Whoever waits for the end hears of it.
  }

  /**
   * Begins an operation and waits for its answer, the line that goes before any bytes.
   * @throws GloveboxError with what the program refuses, what the input throws, or `sandbox_lost`
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
   * The bytes after the answer, the last of them when all has gone well: who has them all hears of nothing more.
   * @throws GloveboxError when there are not exactly `length`, if that is known.
   */
  async *bytes(length?: number): AsyncGenerator<Buffer, void, undefined> {
    let left = length;
    let last: Buffer | undefined;
    for await (const chunk of this.#output.bytes()) {
      if (left !== undefined) left -= chunk.length;
      if (left !== undefined && left < 0) throw garbled();
      if (last) {
        this.#idleSince = performance.now();
        yield last;
        this.#idleSince = undefined;
      }
      last = chunk;
    }
    await this.finish();
    if (left) throw garbled();
    if (last) yield last;
  }

  /** Waits for the end of an operation that has done what it should. What was lost on the way is in it. */
  async finish(): Promise<ExecutionEnd> {
    const end = await this.#end;
    if (end.status !== 'ok') throw this.#failureOf(end);
    return end;
  }

  /** Lets an operation that has answered come to its end by itself. */
  leave(): void {
    this.#output.discard();
  }

  /** Ends the operation, wherever it is, because nobody wants more of it or for a failure. Idempotent. */
  async close(failure?: unknown): Promise<void> {
    this.#cancel.abort(failure);
    this.#output.discard();
    await this.#end.catch(() => {});
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

  /** A program that says nothing sensible is not waited for. */
  #endOfSilence(): Promise<ExecutionEnd> {
    this.#cancel.abort(garbled());
    return this.#end;
  }

  /** Cuts the input into chunks, the last of them empty: one that breaks off has no such end, so nothing is made of it. */
  async *#frame(input: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer, void, undefined> {
    try {
      this.#idleSince = performance.now();
      for await (const piece of input) {
        this.#idleSince = undefined;
        // Whatever the answer is, it was given without the rest.
        if (this.#answered) return;
        for (let at = 0; at < piece.byteLength; at += CHUNK_BYTES) yield* frame(piece.subarray(at, at + CHUNK_BYTES));
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
          'No byte moved for a while, and other transfers of this session waited.',
        );
        this.#cancel.abort(this.#inputError);
      },
    };
  }

  #failureOf(end: ExecutionEnd): unknown {
    if (this.#inputError !== undefined) return this.#inputError;
    if (end.status === 'out_of_memory')
      return new GloveboxError('disk_full', 'The memory of the session is full.', { hint: DISK_HINT });
    if (end.status === 'timeout') return new GloveboxError('sandbox_lost', 'It took too long and was ended.');
    if (end.failure !== undefined) return new GloveboxError('session_busy', `Not done: ${end.failure.slice(0, 500)}.`);
    return garbled();
  }
}

function* frame(piece: Uint8Array): Generator<Buffer, void, undefined> {
  const length = lengthOf(piece.byteLength);
  const bytes = Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength);
  if (piece.byteLength <= COPIED_BYTES) yield Buffer.concat([length, bytes]);
  else yield* [length, bytes];
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
  return new GloveboxError(ours, message.slice(0, 1000), hints);
}

export function garbled(cause?: unknown): GloveboxError {
  return new GloveboxError('sandbox_lost', 'The files of this session could not be worked with to the end.', {
    hint: 'Something in the session disturbs it, or changed the file meanwhile. Call again.',
    ...(cause === undefined ? {} : { cause }),
  });
}
