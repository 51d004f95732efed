/** Sequence of a terminal at the beginning of a text: CSI; strings (OSC, DCS, SOS, PM, APC) to their end; the rest. */
const SEQUENCE =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
  /^(?:(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)|\x1b[ -/]*[0-OQ-WYZ`-~\\])/;
/** Colours, erasing, moves of the cursor, and whether it is shown. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
const HARMLESS = /^\x1b\[(?:[0-9;:]*[A-HJKSTdfm]|\?25[hl])$/;
/** Characters that begin a sequence or do something by themselves, but tabs, line ends and backspaces. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
const CONTROL = /[\x00-\x07\x0b\x0c\x0e-\x1f\x7f-\x9f]/;
/** Longest sequence that is waited for, in characters. */
const LONGEST = 4096;

/**
 * Output of code that is not trusted, for a terminal. Keeps text, colours and moves of the cursor. Leaves out what sets the
 * title or the clipboard, asks the terminal to type an answer, or changes how it works.
 */
export class TerminalText {
  /** Beginning of a sequence whose end has not come. */
  #rest = '';
  /** Whether the sequence under way is too long, and is left out up to its end. */
  #isSkipping = false;

  /** Returns what the terminal may get of the next piece. */
  take(piece: string): string {
    let text = this.#rest + piece;
    this.#rest = '';
    let kept = '';
    while (text !== '') {
      if (this.#isSkipping) {
        text = this.#skip(text);
        continue;
      }
      const at = text.search(CONTROL);
      if (at < 0) return kept + text;
      kept += text.slice(0, at);
      text = text.slice(at);
      const [sequence] = SEQUENCE.exec(text) ?? [];
      if (sequence === undefined && mayGoOn(text)) {
        this.#isSkipping = text.length > LONGEST;
        this.#rest = this.#isSkipping ? text.slice(-1) : text;
        return kept;
      }
      if (sequence && HARMLESS.test(sequence)) kept += sequence;
      text = text.slice((sequence ?? text[0] ?? '').length);
    }
    return kept;
  }

  /** Leaves out the rest of a string that is too long. */
  #skip(text: string): string {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
    const end = /\x07|\x1b\\|\x9c/.exec(text);
    if (!end) {
      this.#rest = text.endsWith('\x1b') ? '\x1b' : '';
      return '';
    }
    this.#isSkipping = false;
    return text.slice(end.index + end[0].length);
  }
}

/** Whether a text that is no whole sequence may become one with what comes next. */
function mayGoOn(text: string): boolean {
  return (
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
    /^(?:\x1b\[|\x9b)[0-?]*[ -/]*$/.test(text) ||
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
    /^(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*\x1b?$/.test(text) ||
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
    /^\x1b[ -/]*$/.test(text)
  );
}
