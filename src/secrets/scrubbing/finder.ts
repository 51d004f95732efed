import type { Form } from './forms.ts';

/** Part of a text: from the byte `start` up to `end`, without that. */
export interface Found {
  readonly start: number;
  readonly end: number;
  /** What stands in its place. */
  readonly label: string;
}

/** A spelling to look for. */
export interface Pattern extends Form {
  readonly label: string;
}

/** Bytes that are looked at together. */
const GRAM = 4;
/** Most bytes between two looks. */
const LONGEST_STRIDE = 8;
const TABLE_BITS = 14;
/** Bit in which upper and lower case differ. */
const CASE = 0x20;
/** Longest break of a line within a spelling, in bytes. */
const LONGEST_BREAK = 8;
/** Shortest line of base64 or hexadecimal, in characters, that is expected. */
const SHORTEST_LINE = 32;

const TAB = 9;
const NEWLINE = 10;
const RETURN = 13;
const SPACE = 32;
const BACKSLASH = 92;
const LETTER_N = 110;
const LETTER_R = 114;

/** Place within a pattern at which a gram stands. */
interface Seed {
  readonly pattern: number;
  readonly offset: number;
}

/**
 * Finds many patterns in bytes at once. It looks at four bytes of every few: each pattern is so long that one of these
 * looks falls into its beginning, whatever stands before it.
 */
export class Finder {
  readonly #patterns: readonly Pattern[];
  readonly #stride: number;
  /** Whether a gram may be a seed, by its hash. */
  readonly #table = new Uint8Array(2 ** TABLE_BITS);
  readonly #seeds = new Map<number, Seed[]>();
  /** Patterns by their first byte. */
  readonly #starts = new Map<number, Pattern[]>();
  /** Most bytes that a pattern takes, breaks of lines included. */
  readonly #longest: number = 0;

  constructor(patterns: readonly Pattern[]) {
    this.#patterns = patterns.map((pattern) => ({ ...pattern, bytes: Buffer.from(pattern.bytes.map(fold)) }));
    const room = this.#patterns.map(({ bytes, wraps }) => (wraps ? Math.floor(bytes.length / 2) : bytes.length));
    this.#stride = Math.max(1, Math.min(LONGEST_STRIDE, ...room.map((length) => length - GRAM + 1)));
    for (const [index, pattern] of this.#patterns.entries()) {
      const { bytes, wraps } = pattern;
      this.#plant(index, 0);
      // A line that breaks in the first seeds leaves these whole.
      if (wraps) this.#plant(index, this.#stride + GRAM - 1);
      const [first = 0] = bytes;
      this.#starts.set(first, [...(this.#starts.get(first) ?? []), pattern]);
      const breaks = wraps ? (Math.ceil(bytes.length / SHORTEST_LINE) + 1) * LONGEST_BREAK : 0;
      this.#longest = Math.max(this.#longest, bytes.length + breaks);
    }
  }

  /** Finds all that is whole, in order, where what overlaps is one. */
  find(text: Buffer): Found[] {
    const found: Found[] = [];
    const until = new Map<number, number>();
    const stride = this.#stride;
    const table = this.#table;
    for (let at = 0; at + GRAM <= text.length; at += stride) {
      const gram = gramAt(text, at);
      if (table[slotOf(gram)] === 0) continue;
      for (const { pattern: index, offset } of this.#seeds.get(gram) ?? []) {
        const pattern = this.#patterns[index];
        if (!pattern || at < (until.get(index) ?? 0)) continue;
        const range = surround(text, pattern, at, offset);
        if (!range) continue;
        until.set(index, range.end);
        found.push({ ...range, label: pattern.label });
      }
    }
    return merge(found);
  }

  /** Byte from which on the end of a text may be the beginning of a pattern; else its length. */
  openFrom(text: Buffer): number {
    for (let at = Math.max(0, text.length - this.#longest); at < text.length; at += 1) {
      const patterns = this.#starts.get(fold(text[at] ?? 0));
      if (patterns?.some((pattern) => forward(text, pattern, at, 0) === OPEN)) return at;
    }
    return text.length;
  }

  /** Enters the grams of a stretch of a pattern. */
  #plant(index: number, from: number): void {
    const bytes = this.#patterns[index]?.bytes ?? Buffer.alloc(0);
    for (let offset = from; offset < from + this.#stride && offset + GRAM <= bytes.length; offset += 1) {
      const gram = gramAt(bytes, offset);
      this.#table[slotOf(gram)] = 1;
      this.#seeds.set(gram, [...(this.#seeds.get(gram) ?? []), { pattern: index, offset }]);
    }
  }
}

/** Ranges in order, of which those that overlap are one, with the label of the first. */
export function merge(found: readonly Found[]): Found[] {
  const merged: Found[] = [];
  for (const next of found.toSorted((a, b) => a.start - b.start || b.end - a.end)) {
    const last = merged.at(-1);
    if (last && next.start < last.end) merged[merged.length - 1] = { ...last, end: Math.max(last.end, next.end) };
    else merged.push(next);
  }
  return merged;
}

function fold(byte: number): number {
  return byte | CASE;
}

function gramAt(text: Buffer, at: number): number {
  const [a, b, c, d] = [text[at] ?? 0, text[at + 1] ?? 0, text[at + 2] ?? 0, text[at + 3] ?? 0];
  return a | (b << 8) | (c << 16) | (d << 24) | 0x20_20_20_20;
}

function slotOf(gram: number): number {
  return Math.imul(gram, 0x9e_37_79_b1) >>> (32 - TABLE_BITS);
}

const NONE = -1;
/** The text ends within the pattern. */
const OPEN = -2;

/** The range of a pattern whose byte `offset` stands at `at` of a text. Undefined if the rest does not fit. */
function surround(text: Buffer, pattern: Pattern, at: number, offset: number): Omit<Found, 'label'> | undefined {
  const start = backward(text, pattern, at, offset);
  if (start < 0) return undefined;
  const end = forward(text, pattern, at, offset);
  return end < 0 ? undefined : { start, end };
}

/** Where a pattern ends whose byte `offset` stands at `at`; `NONE` or `OPEN` if it does not. */
function forward(text: Buffer, { bytes, wraps }: Pattern, at: number, offset: number): number {
  let place = at;
  for (let index = offset; index < bytes.length; index += 1) {
    if (place >= text.length) return OPEN;
    if (fold(text[place] ?? 0) !== bytes[index]) {
      if (!wraps || index === 0) return NONE;
      const after = afterBreak(text, place);
      if (after >= text.length) return OPEN;
      if (after === place || fold(text[after] ?? 0) !== bytes[index]) return NONE;
      place = after;
    }
    place += 1;
  }
  return place;
}

/** Where a pattern begins whose byte `offset` stands at `at`, or `NONE`. */
function backward(text: Buffer, { bytes, wraps }: Pattern, at: number, offset: number): number {
  let place = at;
  for (let index = offset - 1; index >= 0; index -= 1) {
    if (wraps) place = beforeBreak(text, place);
    place -= 1;
    if (place < 0 || fold(text[place] ?? 0) !== bytes[index]) return NONE;
  }
  return place;
}

/** First byte after a break of a line, as it is or as JSON writes it. */
function afterBreak(text: Buffer, from: number): number {
  let at = from;
  while (at < text.length && at < from + LONGEST_BREAK) {
    if (isBlank(text[at])) at += 1;
    else if (text[at] === BACKSLASH && at + 1 === text.length) return text.length;
    else if (text[at] === BACKSLASH && isEscaped(text[at + 1])) at += 2;
    else break;
  }
  return at;
}

/** First byte of the break of a line that ends before `to`; else `to`. */
function beforeBreak(text: Buffer, to: number): number {
  let at = to;
  while (at > 0 && at > to - LONGEST_BREAK) {
    if (isBlank(text[at - 1])) at -= 1;
    else if (at > 1 && text[at - 2] === BACKSLASH && isEscaped(text[at - 1])) at -= 2;
    else break;
  }
  return at;
}

function isBlank(byte: number | undefined): boolean {
  return byte === NEWLINE || byte === RETURN || byte === SPACE || byte === TAB;
}

function isEscaped(byte: number | undefined): boolean {
  return byte === LETTER_N || byte === LETTER_R;
}
