import { Transform, type TransformCallback } from 'node:stream';
import { GloveboxError } from '../errors.ts';
import { parseJson } from '../lib/json-input.ts';

const LINE_END = 10;

/** Filters the messages of a client, one per line. Those that the HTTP transports would refuse are answered at once. */
export class MessageCheck extends Transform {
  readonly #maxBytes: number;
  readonly #answer: (line: string) => void;
  #held: Buffer[] = [];
  #heldBytes = 0;

  /** @param maxBytes length of a line in bytes; a longer line is passed on unchecked, for its reader to refuse */
  constructor(maxBytes: number, answer: (line: string) => void) {
    super();
    this.#maxBytes = maxBytes;
    this.#answer = answer;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    let rest = chunk;
    for (let end = rest.indexOf(LINE_END); end >= 0; end = rest.indexOf(LINE_END)) {
      this.#hold(rest.subarray(0, end + 1));
      this.#pass();
      rest = rest.subarray(end + 1);
    }
    this.#hold(rest);
    if (this.#heldBytes > this.#maxBytes) this.#release();
    done();
  }

  override _flush(done: TransformCallback): void {
    this.#release();
    done();
  }

  #hold(piece: Buffer): void {
    if (piece.length === 0) return;
    this.#held.push(piece);
    this.#heldBytes += piece.length;
  }

  #release(): void {
    for (const piece of this.#held) this.push(piece);
    this.#held = [];
    this.#heldBytes = 0;
  }

  #pass(): void {
    const line = Buffer.concat(this.#held).toString('utf8');
    const refusal = refusalOf(line);
    if (refusal) {
      this.#held = [];
      this.#heldBytes = 0;
      const error = { code: -32_600, message: `${refusal.message} ${refusal.hint}` };
      this.#answer(`${JSON.stringify({ jsonrpc: '2.0', id: idOf(line), error })}\n`);
    } else this.#release();
  }
}

/** The reason why a message is refused. Text that is not JSON is left for the reader of the lines to refuse. */
function refusalOf(line: string): GloveboxError | undefined {
  try {
    parseJson(line);
    return undefined;
  } catch (thrown) {
    return thrown instanceof GloveboxError ? thrown : undefined;
  }
}

/** The id of a message, for its answer. */
function idOf(line: string): string | number | null {
  try {
    const { id } = JSON.parse(line) as { id?: unknown };
    return typeof id === 'string' || typeof id === 'number' ? id : null;
  } catch {
    return null;
  }
}
