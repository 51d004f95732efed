import { GloveboxError } from '../errors.ts';

/** One part of a form, whose bytes come as they are taken; the next part skips what was not. */
export interface FormPart {
  readonly name: string;
  /** What the sender calls the file; undefined for a field that is none, empty where none was chosen. */
  readonly filename: string | undefined;
  readonly bytes: AsyncIterable<Uint8Array>;
}

const LONGEST_HEAD = 16 * 1024;
const LINE = Buffer.from('\r\n');
const DECODER = new TextDecoder('utf-8', { fatal: true });
/** What leaves the bytes of a part as they are. */
const IDENTITY = /^(7bit|8bit|binary)$/i;

/** The parts of a `multipart/form-data` body (RFC 7578). @throws GloveboxError `invalid_input` for what is none */
export async function* readForm(
  contentType: string,
  chunks: AsyncIterable<Uint8Array>,
): AsyncGenerator<FormPart, void, undefined> {
  const boundary = /;\s*boundary=(?:"([^"]{1,70})"|([^\s;",]{1,70}))/i.exec(contentType);
  if (!boundary) throw invalid('The header Content-Type names no boundary.', 'Let the client library set that header.');
  const source = new FormSource(chunks, boundary[1] ?? boundary[2] ?? '');
  for await (const _ of source.untilDelimiter()); // What stands before the first part is no part.
  while (await source.hasPart()) {
    const head = readHead(await source.head());
    const bytes = source.untilDelimiter();
    yield { ...head, bytes };
    for await (const _ of bytes);
  }
  await source.drain();
}

/** Bytes that come in chunks cut anywhere, between delimiters. */
class FormSource {
  readonly #chunks: AsyncIterator<Uint8Array>;
  readonly #delimiter: Buffer;
  /** A form begins as after a line: its first delimiter has the form of all others. */
  #held: Buffer = LINE;

  constructor(chunks: AsyncIterable<Uint8Array>, boundary: string) {
    this.#chunks = chunks[Symbol.asyncIterator]();
    this.#delimiter = Buffer.from(`\r\n--${boundary}`, 'latin1');
  }

  /** What comes before the next delimiter, which is taken with it. */
  async *untilDelimiter(): AsyncGenerator<Uint8Array, void, undefined> {
    for (;;) {
      const at = this.#held.indexOf(this.#delimiter);
      const sure = at >= 0 ? at : Math.max(0, this.#held.length - this.#delimiter.length + 1);
      const piece = this.#held.subarray(0, sure);
      this.#held = this.#held.subarray(at >= 0 ? at + this.#delimiter.length : sure);
      if (piece.length > 0) yield piece;
      if (at >= 0) return;
      await this.#fill();
    }
  }

  /** Whether a part comes after a delimiter, and not the end. */
  async hasPart(): Promise<boolean> {
    while (this.#held.length < 2) await this.#fill();
    if (this.#held.toString('latin1', 0, 2) === '--') return false;
    const padding = await this.#take(LINE);
    if (/[^ \t]/.test(padding.toString('latin1'))) throw brokenForm();
    return true;
  }

  /** The lines that a part begins with. */
  async head(): Promise<Buffer> {
    if (this.#held.length < 2) await this.#fill();
    this.#held = Buffer.concat([LINE, this.#held]); // A part may have no such lines at all.
    return await this.#take(Buffer.from('\r\n\r\n'));
  }

  async drain(): Promise<void> {
    while (!(await this.#chunks.next()).done);
  }

  /** What comes before a mark, which is taken with it. */
  async #take(mark: Buffer): Promise<Buffer> {
    for (;;) {
      const at = this.#held.indexOf(mark);
      if (at > LONGEST_HEAD || (at < 0 && this.#held.length > LONGEST_HEAD)) throw brokenForm();
      if (at >= 0) {
        const taken = this.#held.subarray(0, at);
        this.#held = this.#held.subarray(at + mark.length);
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
    throw invalid(`A part of the form is encoded as ${JSON.stringify(encoding.slice(0, 40))}.`, 'Send it as it is.');
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

/** Browsers write a quotation mark or a line break in a name as percent and digits, older clients with a backslash. */
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
    throw invalid('The head of a part of the form is not UTF-8.');
  }
}

function brokenForm(): GloveboxError {
  return invalid('The form is malformed, or ends before its last boundary.', 'Send all of it again.');
}

function invalid(message: string, hint?: string): GloveboxError {
  return new GloveboxError('invalid_input', message, hint === undefined ? {} : { hint });
}
