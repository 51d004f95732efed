import { createHmac, hash } from 'node:crypto';

/** What the first line names as the hash of the line before. */
const NO_HASH = '0'.repeat(64);

/** A line as all lines end. */
const SEALED = /^(.*),"hash":"([0-9a-f]{64})"\}$/;

/** What the next line is chained to. */
export interface Link {
  readonly seq: number;
  readonly hash: string;
}

export const FIRST_LINK: Link = { seq: 0, hash: NO_HASH };

/** A line of a log. */
export interface AuditLine extends Link {
  readonly previous: string;
  /** Whether its hash is that of its text. */
  readonly isGenuine: boolean;
  readonly fields: Readonly<Record<string, unknown>>;
}

/**
 * Lines that are chained by their hashes: a line's hash is that of its text without the field `hash`, which has the hash of
 * the line before. With a key, it is HMAC-SHA256, otherwise SHA-256.
 */
export class Chain {
  readonly #key: Buffer | undefined;

  constructor(key?: Buffer) {
    this.#key = key;
  }

  get isKeyed(): boolean {
    return this.#key !== undefined;
  }

  /** Makes the line after another, and the link for the next one. */
  seal({ seq, hash: previous }: Link, fields: object): { readonly line: string; readonly link: Link } {
    const next = seq + 1;
    const body = JSON.stringify({ seq: next, ...fields, previous });
    const own = this.#hashOf(body);
    return { line: `${body.slice(0, -1)},"hash":"${own}"}\n`, link: { seq: next, hash: own } };
  }

  /** Reads a line, without its end. Undefined if it is none of an audit log. */
  read(line: string): AuditLine | undefined {
    const [, head, told = ''] = SEALED.exec(line) ?? [];
    if (head === undefined) return undefined;
    const body = `${head}}`;
    const fields = parseObject(body);
    const { seq, previous } = fields ?? {};
    if (!fields || typeof seq !== 'number' || typeof previous !== 'string') return undefined;
    return { seq, previous, hash: told, fields, isGenuine: this.#hashOf(body) === told };
  }

  #hashOf(body: string): string {
    return this.#key ? createHmac('sha256', this.#key).update(body).digest('hex') : hash('sha256', body);
  }
}

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? { ...value } : undefined;
  } catch {
    return undefined;
  }
}
