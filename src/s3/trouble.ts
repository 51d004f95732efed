import type { GloveboxError } from '../errors.ts';
import { StorageRefusal } from './errors.ts';

type Kind = 'read' | 'write';

/** Kind of a request by its method. Removing, or beginning an upload, may go on where nothing can be written. */
const KINDS: Readonly<Record<string, Kind>> = { GET: 'read', HEAD: 'read', PUT: 'write' };

/** What fails at a storage now, as far as requests have shown. */
export class Trouble {
  readonly #failures = new Map<Kind, GloveboxError>();

  /** Error of the last request of its kind, if it failed: of one that wrote, rather than of one that read. */
  get current(): GloveboxError | undefined {
    return this.#failures.get('write') ?? this.#failures.get('read');
  }

  /** Whether it answers, as far as is known. */
  get isReachable(): boolean {
    return [...this.#failures.values()].every(({ cause }) => cause instanceof StorageRefusal);
  }

  failed(method: string, error: GloveboxError): void {
    this.#failures.set(KINDS[method] ?? 'write', error);
  }

  answered(method: string): void {
    const kind = KINDS[method];
    if (kind) this.#failures.delete(kind);
    // Whoever answers one request may still refuse another, but is there.
    for (const [other, { cause }] of this.#failures)
      if (!(cause instanceof StorageRefusal)) this.#failures.delete(other);
  }
}
