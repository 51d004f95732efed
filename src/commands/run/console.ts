import { once } from 'node:events';
import type { WriteStream } from 'node:tty';
import { TerminalText } from './terminal-text.ts';

/** Width of a terminal that does not say its own, in columns. */
const COLUMNS = 80;
const ERASE_LINE = '\r\x1b[2K';
/** Ordinary text, and the cursor where one sees it. */
const AS_BEFORE = '\x1b[0m\x1b[?25h';

type Output = NodeJS.WriteStream | WriteStream;
type Name = 'stdout' | 'stderr';

/**
 * Stdout and stderr of a command: what a program writes, notes, and on a terminal one line that says what is being done.
 */
export class Console {
  readonly #outputs: Readonly<Record<Name, Output>>;
  /** Filters of streams that are terminals. */
  readonly #filters: Partial<Record<Name, TerminalText>> = {};
  /** Decoders of bytes for streams that are terminals. */
  readonly #decoders = { stdout: new TextDecoder(), stderr: new TextDecoder() };
  readonly #onBroken: () => void;
  #progress = '';
  /** Whether the cursor is at the beginning of a line, as far as is known. */
  #isAtStart = true;
  #isBroken = false;
  /** Whether a terminal has got colours, or moves of the cursor. */
  #hasStyled = false;

  /** @param onBroken called when the reader of stdout or stderr has gone */
  constructor(onBroken: () => void, outputs: Readonly<Record<Name, Output>> = process) {
    this.#outputs = outputs;
    this.#onBroken = onBroken;
    for (const name of ['stdout', 'stderr'] as const) {
      if (outputs[name].isTTY) this.#filters[name] = new TerminalText();
      outputs[name].on('error', this.#broken);
    }
  }

  /** Whether stdout is a terminal. */
  get isTerminal(): boolean {
    return this.#outputs.stdout.isTTY;
  }

  /** Whether the reader of stdout or stderr has gone. */
  get isBroken(): boolean {
    return this.#isBroken;
  }

  /** Says on a terminal what is being done, in place of what was said last. Says nothing in a pipe. */
  readonly progress = (message: string): void => {
    if (!this.#outputs.stderr.isTTY || !this.#isAtStart) return;
    const text = printable(message).slice(0, (this.#outputs.stderr.columns || COLUMNS) - 1);
    // Also what the terminal itself has put there, such as ^C.
    this.#outputs.stderr.write(`${ERASE_LINE}${text}`);
    this.#progress = text;
  };

  /** Takes back the line that says what is being done. */
  readonly endProgress = (): void => {
    if (this.#progress !== '') this.#outputs.stderr.write(ERASE_LINE);
    this.#progress = '';
  };

  /** Writes a line for people to stderr, on a line of its own. */
  readonly note = (line: string): void => {
    this.endProgress();
    const isBehind = !this.#isAtStart && this.#outputs.stderr.isTTY;
    this.#outputs.stderr.write(`${isBehind ? '\n' : ''}${printable(line)}\n`);
    this.#isAtStart = true;
  };

  /** Writes what a program wrote. Resolves when there is room for more. */
  async program(name: Name, written: string | Uint8Array): Promise<void> {
    const filter = this.#filters[name];
    if (!filter) {
      if (written.length > 0) await this.#write(name, written);
      return;
    }
    const text = typeof written === 'string' ? written : this.#decoders[name].decode(written, { stream: true });
    const shown = filter.take(text);
    if (shown.includes('\x1b')) this.#hasStyled = true;
    if (shown !== '') await this.#write(name, shown);
  }

  /** Writes text of the command itself to stdout, as it is. */
  async own(text: string | Uint8Array): Promise<void> {
    await this.#write('stdout', text);
  }

  /** Leaves a terminal as a program found it. */
  close(): void {
    this.endProgress();
    if (this.#hasStyled && !this.#isBroken) this.#outputs[this.#filters.stdout ? 'stdout' : 'stderr'].write(AS_BEFORE);
    this.#hasStyled = false;
  }

  async #write(name: Name, text: string | Uint8Array): Promise<void> {
    this.endProgress();
    const output = this.#outputs[name];
    if (output.isTTY) this.#isAtStart = typeof text === 'string' && /[\r\n]$/.test(text);
    if (this.#isBroken || output.write(text)) return;
    await Promise.race([once(output, 'drain'), once(output, 'close')]).catch(() => {});
  }

  readonly #broken = (): void => {
    if (this.#isBroken) return;
    this.#isBroken = true;
    this.#onBroken();
  };
}

/** One line that a terminal shows as it is, whatever names are in it. */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
  return text.replace(/[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/g, '\ufffd');
}
