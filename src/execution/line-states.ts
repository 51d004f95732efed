/** Number of rows above the last one to which a cursor may return. Nested progress bars do that. */
const MAX_ROWS = 32;
/** Longest row that is held back until its end, in bytes. A longer row is not a progress bar. */
const MAX_ROW_BYTES = 16_384;
const LONGEST_SEQUENCE = 32;
const NEWLINE = 0x0a;

/** Text, or something that moves the cursor: the end of a line, a carriage return, a backspace, an escape sequence. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const PIECE = /[^\r\n\b\x1b]+|\r?\n|[\r\b]|\x1b\[[0-9;?]*[@-~]|\x1b/g;
// biome-ignore lint/suspicious/noControlCharactersInRegex: as above
const BEGUN_SEQUENCE = /\x1b(?:\[[0-9;?]*)?$/;

interface Row {
  /** UTF-8 as one character a byte. */
  text: string;
  end: '' | '\n' | '\r\n';
  /** Whether the cursor is at the beginning, so that new text replaces the row. */
  atStart: boolean;
  /** Whether the row was replaced. Then a carriage return before its end is no part of the line end. */
  isRedrawn: boolean;
  /** Number of backspaces since its last text. */
  back: number;
}

/**
 * Reduces output to the last state of each line, as a terminal shows it in the end. A carriage return starts the line
 * again. Backspaces, cursor moves between rows and erased lines are followed too, within limits. Colours stay. Bytes are
 * returned once nothing can change them any more.
 */
export class LineStates {
  #rows: Row[] = [emptyRow()];
  #at = 0;
  /** Beginning of an escape sequence, or a carriage return that may belong to a line end. */
  #begun = '';

  /** Returns pieces that may share the chunk's memory. */
  add(chunk: Buffer): readonly Buffer[] {
    const settled: Buffer[] = [];
    // Most output is plain. Only its last rows are examined byte by byte.
    const from = this.#isPlain(chunk) ? startOfRows(chunk) : 0;
    if (from > 0) {
      settled.push(this.#settleAll(), chunk.subarray(0, from));
    }
    this.#take(this.#begun + chunk.toString('latin1', from));
    settled.push(this.#settle());
    return settled;
  }

  /** Returns the remaining bytes at the end of the output. */
  finish(): Buffer {
    if (this.#begun === '\r') this.#return();
    else this.#write(this.#begun);
    this.#begun = '';
    return this.#settleAll();
  }

  /** Number of bytes that may still change. */
  get waiting(): number {
    return this.#rows.reduce((sum, { text, end }) => sum + text.length + end.length, 0);
  }

  /** Whether the chunk only adds lines. */
  #isPlain(chunk: Buffer): boolean {
    const row = this.#row;
    if (this.#begun !== '' || row.atStart || row.back > 0 || this.#at < this.#rows.length - 1) return false;
    return !chunk.includes(0x0d) && !chunk.includes(0x1b) && !chunk.includes(0x08);
  }

  get #row(): Row {
    let row = this.#rows[this.#at];
    if (!row) {
      row = emptyRow();
      this.#rows[this.#at] = row;
    }
    return row;
  }

  #take(text: string): void {
    this.#begun = BEGUN_SEQUENCE.exec(text.slice(-LONGEST_SEQUENCE))?.[0] ?? (text.endsWith('\r') ? '\r' : '');
    const whole = this.#begun === '' ? text : text.slice(0, -this.#begun.length);
    for (const [piece] of whole.matchAll(PIECE)) {
      if (piece === '\n' || piece === '\r\n') this.#endLine(piece);
      else if (piece === '\r') this.#return();
      else if (piece === '\b') this.#row.back += 1;
      else if (piece.startsWith('\x1b[')) this.#control(piece);
      else this.#write(piece);
    }
  }

  #write(text: string): void {
    if (text === '') return;
    const row = this.#row;
    row.isRedrawn ||= row.atStart && row.text !== '';
    row.text = `${row.atStart ? '' : withoutLast(row.text, row.back)}${text}`;
    row.atStart = false;
    row.back = 0;
  }

  #return(): void {
    this.#row.atStart = true;
    this.#row.back = 0;
  }

  #endLine(end: '\n' | '\r\n'): void {
    this.#row.end ||= this.#row.isRedrawn ? '\n' : end;
    this.#at += 1;
    if (this.#at < this.#rows.length) this.#return();
  }

  #control(sequence: string): void {
    const kind = sequence.at(-1);
    const argument = sequence.slice(2, -1);
    const count = Math.min(Number(argument) || 1, MAX_ROWS);
    if (kind === 'A' || kind === 'F') this.#at = Math.max(0, this.#at - count);
    else if (kind === 'B' || kind === 'E')
      this.#at = Math.min(Math.max(this.#at, this.#rows.length - 1), this.#at + count);
    else if (kind === 'K') this.#eraseLine(argument);
    else if (kind === 'J') this.#eraseBelow(argument);
    // Sequences that show or hide the cursor are dropped. All others, mainly colours, count as text.
    else if (kind !== 'G' && sequence !== '\x1b[?25l' && sequence !== '\x1b[?25h') this.#write(sequence);
    if (kind === 'E' || kind === 'F' || (kind === 'G' && count === 1)) this.#return();
  }

  #eraseLine(argument: string): void {
    const row = this.#row;
    row.text = row.atStart || argument === '1' || argument === '2' ? '' : withoutLast(row.text, row.back);
    row.back = 0;
  }

  /** Erases from the cursor to the end. A request to erase the whole screen is ignored, so that earlier output stays. */
  #eraseBelow(argument: string): void {
    if (argument !== '' && argument !== '0') return;
    this.#eraseLine('0');
    this.#rows.length = Math.min(this.#rows.length, this.#at + 1);
  }

  /** Returns the rows that the cursor can no longer reach. */
  #settle(): Buffer {
    // This creates the cursor's row, even if nothing has been written to it.
    const last = this.#row;
    const excess = Math.max(0, this.#rows.length - MAX_ROWS);
    let text = this.#rows.splice(0, excess).map(settledText).join('');
    this.#at = Math.max(0, this.#at - excess);
    if (last.text.length > MAX_ROW_BYTES) {
      text += this.#rows.splice(0, this.#at).map(settledText).join('') + last.text;
      this.#at = 0;
      last.text = '';
    }
    return Buffer.from(text, 'latin1');
  }

  #settleAll(): Buffer {
    const text = this.#rows.map(settledText).join('');
    this.#rows = [emptyRow()];
    this.#at = 0;
    return Buffer.from(text, 'latin1');
  }
}

function withoutLast(text: string, characters: number): string {
  let end = text.length;
  for (let left = characters; left > 0 && end > 0; left -= 1) {
    end -= 1;
    // Skip the other bytes of a UTF-8 character.
    while (end > 0 && (text.charCodeAt(end) & 0xc0) === 0x80) end -= 1;
  }
  return text.slice(0, end);
}

function emptyRow(): Row {
  return { text: '', end: '', atStart: false, isRedrawn: false, back: 0 };
}

/** Returns the final text of a row. A row overwritten with spaces is empty. */
function settledText({ text, end, atStart }: Row): string {
  return `${atStart && /^ *$/.test(text) ? '' : text}${end}`;
}

/** Returns the offset of the last `MAX_ROWS` rows of a chunk; 0 if it has no more rows. */
function startOfRows(chunk: Buffer): number {
  let at = chunk.length;
  for (let row = 0; row < MAX_ROWS; row += 1) {
    if (at <= 0) return 0;
    at = chunk.lastIndexOf(NEWLINE, at - 1);
  }
  return at + 1;
}
