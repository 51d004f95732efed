import { GloveboxError } from '../errors.ts';
import { type FileEntry, SessionFiles } from '../files/session-files.ts';
import type { Held } from './access.ts';
import { checkOptions, checkText, type Options, SIGNAL } from './check-options.ts';

/** Content for a file: text (written as UTF-8), bytes, or a stream of bytes. */
export type FileContent = string | Uint8Array | AsyncIterable<Uint8Array>;

/** Most bytes that `read` loads into memory. */
const MOST_IN_MEMORY = 1024 * 1024 * 1024;

interface FileOptions {
  /** Cancels the operation. */
  readonly signal?: AbortSignal | undefined;
}

/** Files of a session. Paths such as `data/table.csv` are relative to its workspace, the working directory of code. */
export class Files {
  readonly #hold: (signal?: AbortSignal) => Promise<Held>;

  /** @internal */
  constructor(hold: (signal?: AbortSignal) => Promise<Held>) {
    this.#hold = hold;
  }

  /**
   * Writes a file and creates its parent folders. If a stream fails, the old file stays.
   * @param options `mode`: `create` refuses to replace a file
   * @throws GloveboxError `file_exists`, `disk_full`, `invalid_input`
   */
  async write(
    path: string,
    content: FileContent,
    options: FileOptions & { readonly mode?: 'create' | 'replace' } = {},
  ): Promise<{ readonly size: number; readonly created: boolean }> {
    check('files.write', path, options, { mode: 'text' });
    checkContent(content);
    const { mode = 'replace' } = options;
    checkMode(mode);
    return await this.#use(options, async (files) => {
      const { size, created } = await files.write(path, content, { mode });
      return { size, created };
    });
  }

  /** Reads a whole file. @throws GloveboxError `file_not_found`; `payload_too_large` above 1 GiB, for which there is `stream` */
  async read(path: string, options: FileOptions = {}): Promise<Uint8Array> {
    check('files.read', path, options);
    return await this.#use(options, async (files) => (await files.read(path, {}, MOST_IN_MEMORY)).content);
  }

  /** Reads a whole file as UTF-8. @throws GloveboxError as `read` does */
  async readText(path: string, options: FileOptions = {}): Promise<string> {
    return Buffer.from(await this.read(path, options)).toString('utf8');
  }

  /** Reads a file as a stream. Leaving the loop early ends the reading. @throws GloveboxError `file_not_found` */
  async *stream(path: string, options: FileOptions = {}): AsyncGenerator<Uint8Array, void, undefined> {
    check('files.stream', path, options);
    const { signal } = options;
    using held = await this.#hold(signal);
    const file = await new SessionFiles(held.session, signal).open(path);
    try {
      yield* file.bytes;
    } finally {
      await file.close();
    }
  }

  /**
   * Lists a folder, sorted by path. Default: the workspace.
   * @param options `recursive`: also list the contents of subfolders; `limit`: most entries, up to 1000
   */
  async list(
    path = '',
    options: FileOptions & { readonly recursive?: boolean; readonly limit?: number } = {},
  ): Promise<{ readonly entries: readonly FileEntry[]; readonly truncated: boolean }> {
    check('files.list', path, options, { recursive: 'true or false', limit: 'number' });
    const { recursive = false, limit } = options;
    return await this.#use(options, async (files) => {
      const { entries, truncated } = await files.list(path, { recursive, ...(limit === undefined ? {} : { limit }) });
      return { entries, truncated };
    });
  }

  /** Returns type, size and time of a path. @throws GloveboxError `file_not_found` */
  async stat(path: string, options: FileOptions = {}): Promise<FileEntry> {
    check('files.stat', path, options);
    return await this.#use(options, (files) => files.stat(path));
  }

  /** Deletes a file or an empty folder; any folder if `recursive`. @throws GloveboxError `file_not_found` */
  async delete(path: string, options: FileOptions & { readonly recursive?: boolean } = {}): Promise<void> {
    check('files.delete', path, options, { recursive: 'true or false' });
    const { recursive = false } = options;
    await this.#use(options, (files) => files.delete(path, { recursive }));
  }

  async #use<T>({ signal }: FileOptions, use: (files: SessionFiles) => Promise<T>): Promise<T> {
    using held = await this.#hold(signal);
    return await use(new SessionFiles(held.session, signal));
  }
}

/** Checks the path and options of a call. @throws GloveboxError `invalid_input` */
function check(call: string, path: string, options: FileOptions, known: Options = {}): void {
  checkText(call, 'The path', path);
  checkOptions(call, options, { ...known, ...SIGNAL });
}

function checkMode(mode: string): void {
  if (mode === 'create' || mode === 'replace') return;
  throw new GloveboxError('invalid_input', `files.write has no mode ${JSON.stringify(mode)}.`, {
    hint: 'Write "create" for a file that must be new, or "replace".',
  });
}

/** Checks the content of a file. @throws GloveboxError `invalid_input` */
function checkContent(content: FileContent): void {
  if (typeof content === 'string') {
    if (content.isWellFormed()) return;
    throw new GloveboxError('invalid_input', 'The text holds a lone surrogate, which UTF-8 cannot carry.', {
      hint: 'Give the bytes as a Uint8Array.',
    });
  }
  if (content instanceof Uint8Array) return;
  if (typeof content === 'object' && content !== null && Symbol.asyncIterator in content) return;
  throw new GloveboxError('invalid_input', 'The content is neither text, nor bytes, nor a stream of bytes.', {
    hint: 'Give a string, a Uint8Array or an async iterable of Uint8Array.',
  });
}
