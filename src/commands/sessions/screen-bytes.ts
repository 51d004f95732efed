/** Longest sequence that is waited for, in characters. */
const LONGEST = 256;
/** A whole sequence at the beginning of a text, but those of strings. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
const SEQUENCE = /^\x1b(?:\[[0-?]*[ -/]*[@-~]|[ -/]+[0-~]|[0-OQ-WYZ`-~])/;
/** Beginning of a sequence that may go on. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
const BEGINNING = /^\x1b(?:\[[0-?]*[ -/]*|[ -/]*)$/;
/** Beginning of a string: a title, the clipboard, a picture, a command of the terminal. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
const STRING = /^\x1b[\]PX^_]/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
const END_OF_STRING = /\x07|\x1b\\|\x18|\x1a/;
/** Controls of the second set in UTF-8, among them the beginnings of strings. */
const SECOND_SET = /\xc2[\x80-\x9f]/g;
/** Mode that is switched on or off. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
const MODES = /^\x1b\[\?([0-9;]+)([hl])$/;
/** What works on the window, and asks it for its title. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
const WINDOW = /^\x1b\[[0-?]*t$/;
/** The cursor is shown, and lines wrap, unless a program says otherwise. */
const ON_BEFORE = new Set(['7', '25']);

/**
 * What a terminal of a sandbox prints, for the terminal of a person: all that draws, and nothing that sets the title or the
 * clipboard, opens links, or has the terminal type a text that the program chose.
 */
export class ScreenBytes {
  /** Beginning of a sequence whose end has not come, each byte a character. */
  #rest = '';
  #isInString = false;
  /** Modes that are not as they were before. */
  readonly #changed = new Map<string, 'h' | 'l'>();

  /** Returns what the terminal may get of the next bytes. */
  take(bytes: Uint8Array): Buffer {
    let text = this.#rest + Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
    this.#rest = '';
    let kept = '';
    while (text !== '') {
      if (this.#isInString) {
        text = this.#skip(text);
        continue;
      }
      const at = text.indexOf('\x1b');
      if (at < 0) {
        kept += text;
        break;
      }
      kept += text.slice(0, at);
      text = text.slice(at);
      if (STRING.test(text)) {
        this.#isInString = true;
        text = text.slice(2);
        continue;
      }
      const sequence = SEQUENCE.exec(text)?.[0];
      if (sequence === undefined && text.length < LONGEST && BEGINNING.test(text)) {
        this.#rest = text;
        break;
      }
      if (sequence !== undefined && this.#mayPass(sequence)) kept += sequence;
      text = text.slice(sequence?.length ?? 1);
    }
    return Buffer.from(this.#withoutSecondSet(kept), 'latin1');
  }

  /** Returns what brings a terminal back to how it was. */
  restore(): string {
    const modes = [...this.#changed].map(([mode, set]) => `\x1b[?${mode}${set === 'h' ? 'l' : 'h'}`).join('');
    return `${modes}\x1b[0m\x1b[r\x1b>`;
  }

  #mayPass(sequence: string): boolean {
    const [, modes, set] = MODES.exec(sequence) ?? [];
    for (const mode of modes?.split(';') ?? []) {
      const isBefore = ON_BEFORE.has(mode) === (set === 'h');
      if (isBefore) this.#changed.delete(mode);
      else this.#changed.set(mode, set === 'h' ? 'h' : 'l');
    }
    return !WINDOW.test(sequence);
  }

  #skip(text: string): string {
    const end = END_OF_STRING.exec(text);
    if (end) {
      this.#isInString = false;
      return text.slice(end.index + end[0].length);
    }
    this.#rest = text.endsWith('\x1b') ? '\x1b' : '';
    return '';
  }

  /** A pair may be cut between two pieces. */
  #withoutSecondSet(kept: string): string {
    const clean = kept.replace(SECOND_SET, '');
    if (!clean.endsWith('\xc2') || this.#rest !== '') return clean;
    this.#rest = '\xc2';
    return clean.slice(0, -1);
  }
}
