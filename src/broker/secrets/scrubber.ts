/** What stands where a secret was. */
const REMOVED = '[secret removed]';
/** Shortest text that is looked for. */
const SHORTEST = 8;

/** Finds known secrets in what a server says: as they are, and in the usual encodings. */
export class Scrubber {
  readonly #text: RegExp | undefined;

  constructor(secrets: readonly string[]) {
    const forms = new Set(secrets.filter(({ length }) => length >= SHORTEST).flatMap(formsOf));
    // The longest first, so that none leaves the rest of another behind.
    const sorted = [...forms].filter(({ length }) => length >= SHORTEST).sort((a, b) => b.length - a.length);
    this.#text = sorted.length > 0 ? new RegExp(sorted.map(escapePattern).join('|'), 'g') : undefined;
  }

  /** A text without secrets. */
  text(text: string): string {
    return this.#text ? text.replace(this.#text, REMOVED) : text;
  }

  /** A value of JSON without secrets, in names of fields as well. */
  json(value: unknown): unknown {
    const pattern = this.#text;
    if (!pattern) return value;
    pattern.lastIndex = 0;
    return pattern.test(JSON.stringify(value) ?? '') ? this.#walk(value) : value;
  }

  /** Bytes without secrets, of the same length. */
  bytes(bytes: Buffer): Buffer {
    if (!this.#text) return bytes;
    const text = bytes.toString('latin1');
    const clean = text.replace(this.#text, (found) => '*'.repeat(found.length));
    return clean === text ? bytes : Buffer.from(clean, 'latin1');
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

function escapePattern(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&');
}

/** A secret as it is, and as others would write it. */
function formsOf(secret: string): string[] {
  const bytes = Buffer.from(secret, 'utf8');
  const hex = bytes.toString('hex');
  const quoted = JSON.stringify(secret).slice(1, -1);
  const url = encodeURIComponent(secret);
  const lowered = url.replace(/%[0-9A-F]{2}/g, (code) => code.toLowerCase());
  const form = new URLSearchParams([['', secret]]).toString().slice(1);
  return [
    ...[secret, quoted, JSON.stringify(quoted).slice(1, -1), url, lowered, form, hex, hex.toUpperCase()],
    ...[0, 1, 2].flatMap((before) => base64Within(bytes, before)),
    // As bytes that are read one by one, in files.
    bytes.toString('latin1'),
  ];
}

/**
 * What base64 of a text holds for sure when the secret begins `before` bytes (modulo 3) into that text: all characters
 * but those that depend on what stands around the secret.
 */
function base64Within(bytes: Buffer, before: number): string[] {
  const padded = Buffer.concat([Buffer.alloc(before), bytes]);
  const whole = padded.toString('base64url');
  const first = before === 0 ? 0 : before + 1;
  const last = padded.length % 3 === 0 ? whole.length : whole.length - 1;
  const plain = padded.toString('base64').replace(/=+$/, '');
  return [whole.slice(first, last), plain.slice(first, last)];
}
