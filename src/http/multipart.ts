import { GloveboxError } from '../errors.ts';

/** One part of a form. Its bytes are received as they are read. The next part skips those that were not read. */
export interface FormPart {
  readonly name: string;
  /** Name of the file. Undefined for a field that is not a file; empty when the user chose no file. */
  readonly filename: string | undefined;
  readonly bytes: AsyncIterable<Uint8Array>;
}

/** Bytes of the headers of a part. */
const LONGEST_HEAD = 16 * 1024;
const LINE = Buffer.from('\r\n');
const DECODER = new TextDecoder('utf-8', { fatal: true });
/** Content-Transfer-Encodings that do not change the bytes. */
const IDENTITY = /^(7bit|8bit|binary)$/i;

/** Yields the parts of a `multipart/form-data` body (RFC 7578). @throws GloveboxError `invalid_input` if malformed */
export async function* readForm(
  contentType: string,
  chunks: AsyncIterable<Uint8Array>,
): AsyncGenerator<FormPart, void, undefined> {
  const boundary = /;\s*boundary=(?:"([^"]{1,70})"|([^\s;",]{1,70}))/i.exec(contentType);
  if (!boundary) throw invalid('The header Content-Type has no boundary.', 'Let the client library set this header.');
  const source = new FormSource(chunks, boundary[1] ?? boundary[2] ?? '');
  for await (const _ of source.untilDelimiter()); // Text before the first part is ignored.
  while (await source.hasPart()) {
    const head = readHead(await source.head());
    const bytes = source.untilDelimiter();
    yield { ...head, bytes };
    for await (const _ of bytes);
  }
  await source.drain();
}

/** Reads the bytes between the delimiters of a form, from chunks of any size. */
class FormSource {
  readonly #chunks: AsyncIterator<Uint8Array>;
  readonly #delimiter: Buffer;
  /** Bytes that are not yet read. A line break is put first, so that the first delimiter looks like the others. */
  #held: Buffer = LINE;

  constructor(chunks: AsyncIterable<Uint8Array>, boundary: string) {
    this.#chunks = chunks[Symbol.asyncIterator]();
    this.#delimiter = Buffer.from(`\r\n--${boundary}`, 'latin1');
  }

  /** Yields the bytes before the next delimiter, and skips the delimiter. */
  async *untilDelimiter(): AsyncGenerator<Uint8Array, void, undefined> {
    for (;;) {
      const at = this.#held.indexOf(this.#delimiter);
      const safe = at >= 0 ? at : Math.max(0, this.#held.length - this.#delimiter.length + 1);
      const piece = this.#held.subarray(0, safe);
      this.#held = this.#held.subarray(at >= 0 ? at + this.#delimiter.length : safe);
      if (piece.length > 0) yield piece;
      if (at >= 0) return;
      await this.#fill();
    }
  }

  /** Whether a part follows the delimiter, and not the end of the form. */
  async hasPart(): Promise<boolean> {
    while (this.#held.length < 2) await this.#fill();
    if (this.#held.toString('latin1', 0, 2) === '--') return false;
    const padding = await this.#takeUntil(LINE);
    if (/[^ \t]/.test(padding.toString('latin1'))) throw brokenForm();
    return true;
  }

  /** Reads the headers of a part. */
  async head(): Promise<Buffer> {
    if (this.#held.length < 2) await this.#fill();
    this.#held = Buffer.concat([LINE, this.#held]); // A part may have no headers.
    return await this.#takeUntil(Buffer.from('\r\n\r\n'));
  }

  /** Reads the rest of the body. */
  async drain(): Promise<void> {
    while (!(await this.#chunks.next()).done);
  }

  /** Reads the bytes before a separator, and skips the separator. */
  async #takeUntil(separator: Buffer): Promise<Buffer> {
    for (;;) {
      const at = this.#held.indexOf(separator);
      if (at > LONGEST_HEAD || (at < 0 && this.#held.length > LONGEST_HEAD)) throw brokenForm();
      if (at >= 0) {
        const taken = this.#held.subarray(0, at);
        this.#held = this.#held.subarray(at + separator.length);
        return taken;
      }
      await this.#fill();
    }
  }

  async #fill(): Promise<void> {
    const { done, value } = await this.#chunks.next();
    if (done) throw brokenForm();
    this.#held = Buffer.concat([this.#held, value]);
  }
}

function readHead(head: Buffer): Pick<FormPart, 'name' | 'filename'> {
  const lines = decode(head).split('\r\n');
  const headers = new Map(
    lines.map((line) => {
      const at = line.indexOf(':');
      return [line.slice(0, at).trim().toLowerCase(), line.slice(at + 1).trim()] as const;
    }),
  );
  const encoding = headers.get('content-transfer-encoding');
  if (encoding !== undefined && !IDENTITY.test(encoding))
    throw invalid(
      `A part of the form has the encoding ${JSON.stringify(encoding.slice(0, 40))}.`,
      'Send it without an encoding.',
    );
  const disposition = headers.get('content-disposition') ?? '';
  const parameters = new Map(
    [...disposition.matchAll(/;\s*([\w*-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;\s]*))/g)].map(
      ([, name = '', quoted, plain]) => [name.toLowerCase(), quoted === undefined ? (plain ?? '') : unquote(quoted)],
    ),
  );
  const extended = /^utf-8'[^']*'(.*)$/i.exec(parameters.get('filename*') ?? '')?.[1];
  return {
    name: parameters.get('name') ?? '',
    filename: extended === undefined ? parameters.get('filename') : decodeName(extended),
  };
}

/** Removes escapes. Browsers percent-encode quotation marks and line breaks in names; older clients use a backslash. */
function unquote(text: string): string {
  const unescaped = text.replace(/\\(["\\])/g, '$1');
  return unescaped.replace(/%(22|0D|0A)/gi, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)));
}

function decodeName(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw invalid('The name of a file in the form is not percent-encoded UTF-8.');
  }
}

function decode(bytes: Buffer): string {
  try {
    return DECODER.decode(bytes);
  } catch {
    throw invalid('The headers of a part of the form are not UTF-8.');
  }
}

function brokenForm(): GloveboxError {
  return invalid('The form is malformed, or ends before its last boundary.', 'Send the whole form again.');
}

function invalid(message: string, hint?: string): GloveboxError {
  return new GloveboxError('invalid_input', message, hint === undefined ? {} : { hint });
}
