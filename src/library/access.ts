import { GloveboxError } from '../errors.ts';
import type { Glovebox } from '../glovebox.ts';
import { LOCAL_OWNER } from '../sessions/caller.ts';
import type { Session } from '../sessions/sessions.ts';

const OWNER = /^[A-Za-z0-9_][A-Za-z0-9_-]{0,63}$/;

/** Session that a call holds open. */
export interface Held extends Disposable {
  readonly session: Session;
  readonly created: boolean;
}

/** Access to the Glovebox, shared by all objects of the library. */
export class Access {
  readonly #glovebox: Glovebox;
  #isClosed = false;

  constructor(glovebox: Glovebox) {
    this.#glovebox = glovebox;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Returns the Glovebox. @throws GloveboxError `engine_unavailable` once it is closed */
  get glovebox(): Glovebox {
    if (!this.#isClosed) return this.#glovebox;
    throw new GloveboxError('engine_unavailable', 'This Glovebox is closed.', {
      hint: 'Open another one with Glovebox.open().',
    });
  }

  /** Holds a session open for one call. Opens it if it does not exist. */
  async hold(owner: string, id: string, signal?: AbortSignal): Promise<Held> {
    const waiting = signal ? { signal } : {};
    return await this.glovebox.sessions.lease({ owner, fallback: 'new' }, id, waiting).catch(rethrow);
  }

  /** Closes the Glovebox. Idempotent. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#glovebox.close();
  }
}

/** Throws an error of the core. Its hint names methods of the library, where they differ from tools. */
export function rethrow(error: unknown): never {
  if (!(error instanceof GloveboxError) || error.code !== 'session_not_found') throw error;
  throw new GloveboxError(error.code, error.message, {
    hint: 'It has expired or was closed. Open one with glovebox.sessions.open().',
    cause: error,
  });
}

/** Calls `use` at once; see {@link rethrow}. */
export function inOurWords<T>(use: () => T): T {
  try {
    return use();
  } catch (error) {
    return rethrow(error);
  }
}

/** Returns the owner of a call. @throws GloveboxError `invalid_input` for an invalid name */
export function ownerOf({ owner = LOCAL_OWNER }: { readonly owner?: string | undefined }): string {
  if (typeof owner === 'string' && OWNER.test(owner)) return owner;
  throw new GloveboxError('invalid_input', `${JSON.stringify(owner)} is no name of an owner.`, {
    hint: 'Use 1 to 64 letters, digits, "_" or "-", not beginning with "-".',
  });
}

/** Returns the signal, or one that never aborts. */
export function orNever(signal: AbortSignal | undefined): AbortSignal {
  return signal ?? new AbortController().signal;
}
