import { Finder, type Found, merge } from './finder.ts';
import { formsOf } from './forms.ts';

/** What stands where a secret was, unless its name may be told. */
const REMOVED = '[secret removed]';
const STAR = '*'.charCodeAt(0);

/** How secrets are removed: a label in place of each, or as many stars as it has bytes. */
export type Removal = 'label' | 'stars';

/** A secret that is looked for. */
export interface KnownSecret {
  readonly value: string;
  /** What stands in its place. */
  readonly label: string;
}

/** Finds known secrets in what a server says: as they are, and in the usual encodings. */
export class Scrubber {
  readonly #finder: Finder | undefined;

  constructor(secrets: readonly (string | KnownSecret)[]) {
    const known = secrets.map((secret) => (typeof secret === 'string' ? { value: secret, label: REMOVED } : secret));
    const patterns = known.flatMap(({ value, label }) => formsOf(value).map((form) => ({ ...form, label })));
    this.#finder = patterns.length > 0 ? new Finder(patterns) : undefined;
  }

  /** A text without secrets. */
  text(text: string): string {
    return this.#replace(text, 'utf8');
  }

  /** A text whose characters are bytes, as Node has headers, without secrets. */
  header(text: string): string {
    return this.#replace(text, 'latin1');
  }

  /** A value of JSON without secrets, in names of fields as well. */
  json(value: unknown): unknown {
    if (!this.#finder) return value;
    const text = JSON.stringify(value) ?? '';
    return this.#finder.find(Buffer.from(text)).length > 0 ? this.#walk(value) : value;
  }

  /** Bytes without secrets, of the same length. */
  bytes(bytes: Buffer): Buffer {
    const found = this.#finder?.find(bytes) ?? [];
    if (found.length === 0) return bytes;
    const clean = Buffer.from(bytes);
    for (const { start, end } of found) clean.fill(STAR, start, end);
    return clean;
  }

  /** Begins to remove secrets from bytes that come in pieces. */
  begin(removal: Removal): Scrubbing {
    return new Scrubbing(this.#finder, removal);
  }

  #replace(text: string, encoding: 'utf8' | 'latin1'): string {
    if (!this.#finder) return text;
    const bytes = Buffer.from(text, encoding);
    const found = this.#finder.find(bytes);
    if (found.length === 0) return text;
    const scrubbing = new Scrubbing(this.#finder, 'label');
    return Buffer.concat([...scrubbing.push(bytes), ...scrubbing.end()]).toString(encoding);
  }

  #walk(value: unknown): unknown {
    if (typeof value === 'string') return this.text(value);
    if (typeof value === 'number') {
      const clean = this.text(String(value));
      return clean === String(value) ? value : clean;
    }
    if (Array.isArray(value)) return value.map((item) => this.#walk(item));
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([name, item]) => [this.text(name), this.#walk(item)]));
  }
}

/** Removes secrets from bytes that come in pieces. It keeps back only what may be the beginning of one. */
export class Scrubbing {
  readonly #finder: Finder | undefined;
  readonly #removal: Removal;
  /** End of what came, which may be the beginning of a secret. */
  #kept: Buffer = Buffer.alloc(0);
  /** Bytes of that which belong to a secret that is removed already. */
  #removed = 0;

  constructor(finder: Finder | undefined, removal: Removal) {
    this.#finder = finder;
    this.#removal = removal;
  }

  /** Takes a piece, and returns what may be passed on. */
  push(piece: Buffer): Buffer[] {
    if (!this.#finder) return [piece];
    const text = this.#kept.length > 0 ? Buffer.concat([this.#kept, piece]) : piece;
    return this.#pass(text, this.#finder.openFrom(text));
  }

  /** Returns what was kept back. */
  end(): Buffer[] {
    return this.#pass(this.#kept, this.#kept.length);
  }

  #pass(text: Buffer, limit: number): Buffer[] {
    const passed: Buffer[] = [];
    let at = 0;
    let removed = 0;
    for (const { start, end, label } of this.#find(text)) {
      if (start >= limit) break;
      passed.push(text.subarray(at, start), this.#mark(Math.min(end, limit) - start, label));
      at = Math.min(end, limit);
      removed = Math.max(0, end - limit);
    }
    passed.push(text.subarray(at, limit));
    // A copy, so that a few bytes do not hold a large piece in memory.
    this.#kept = Buffer.from(text.subarray(limit));
    this.#removed = removed;
    return passed.filter(({ length }) => length > 0);
  }

  #find(text: Buffer): readonly Found[] {
    const found = this.#finder?.find(text) ?? [];
    if (this.#removed === 0) return found;
    const [first, ...others] = merge([{ start: 0, end: this.#removed, label: '' }, ...found]);
    // Its label is passed on already.
    return first ? [{ ...first, label: '' }, ...others] : [];
  }

  #mark(length: number, label: string): Buffer {
    return this.#removal === 'stars' ? Buffer.alloc(length, STAR) : Buffer.from(label);
  }
}
