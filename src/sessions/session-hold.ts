import { GloveboxError } from '../errors.ts';
import { HoldLost, type SavedSession, type SharedSession, type SharedState } from '../state/state.ts';

export interface SessionHoldOptions {
  readonly state: SharedState;
  /** Describes the session as it is now. */
  readonly describe: () => SavedSession;
  /** Called once when it turns out that this control plane no longer holds the session. */
  readonly onLost: () => void;
}

/** Hold of this control plane on a session of the shared state: writes down the session, one write after the other. */
export class SessionHold {
  readonly #options: SessionHoldOptions;
  #shared: SharedSession;
  /** Whether the session has changed since the last write began. */
  #isOutdated = false;
  #writing: Promise<void> | undefined;
  /** How the hold ended. What was removed is held by nobody else. */
  #ended: 'removed' | 'left' | undefined;

  constructor(shared: SharedSession, options: SessionHoldOptions) {
    this.#shared = shared;
    this.#options = options;
  }

  get shared(): SharedSession {
    return this.#shared;
  }

  /** Whether this control plane may write and remove what belongs to the session. */
  get isValid(): boolean {
    return this.#ended !== 'left' && this.#options.state.isValid;
  }

  /** @throws HoldLost when another may hold the session */
  require(): void {
    if (!this.isValid) throw new HoldLost(this.#shared.id);
  }

  /** Whether the record names this hold: it is read anew. @throws GloveboxError `engine_unavailable` */
  async isConfirmed(): Promise<boolean> {
    const { state } = this.#options;
    const { owner, id, generation } = this.#shared;
    const present = await state.lookUp(owner, id);
    return this.isValid && present?.generation === generation && present.holder === state.self.name;
  }

  /**
   * Writes down the session as it is now, or as it is once an earlier write is done. Does nothing once the hold has ended.
   * @throws HoldLost; GloveboxError `engine_unavailable` when the state cannot be reached, and the next write tells all
   */
  async write(): Promise<void> {
    this.#isOutdated = true;
    this.#writing ??= this.#write().finally(() => {
      this.#writing = undefined;
    });
    await this.#writing;
  }

  /** Writes as `write` does, for what must not go on if the hold ends meanwhile. @throws HoldLost */
  async writeNow(): Promise<void> {
    this.require();
    await this.write();
    this.require();
  }

  /** Resolves when the write under way has ended, well or not. */
  async settled(): Promise<void> {
    await this.#writing?.catch(() => {});
  }

  /** Ends the hold and lets another control plane take the session over. */
  async release(saved: SavedSession): Promise<void> {
    await this.#end('left', (shared) => this.#options.state.release(shared, saved));
  }

  /** Ends the hold and removes the session from the state. Idempotent. @throws HoldLost */
  async remove(): Promise<void> {
    if (this.#ended === 'removed') return;
    await this.#end('removed', (shared) => this.#options.state.remove(shared));
  }

  /** Ends the hold without a word, because it is lost. */
  abandon(): void {
    this.#ended = 'left';
  }

  async #write(): Promise<void> {
    while (this.#isOutdated && !this.#ended) {
      this.#isOutdated = false;
      try {
        this.#shared = await this.#options.state.save(this.#shared, this.#options.describe());
      } catch (error) {
        this.#tellIfLost(error);
        throw error;
      }
    }
  }

  async #end(how: 'removed' | 'left', end: (shared: SharedSession) => Promise<void>): Promise<void> {
    this.require();
    this.#ended = how;
    // The write under way brings the version of the record on which the last one builds.
    await this.#writing?.catch(() => {});
    await end(this.#shared);
  }

  #tellIfLost(error: unknown): void {
    if (!(error instanceof HoldLost) || this.#ended) return;
    this.#ended = 'left';
    this.#options.onLost();
  }
}

/** Whether an error means that another control plane may hold the session. */
export function isHoldLost(error: unknown): boolean {
  return error instanceof GloveboxError && error.code === 'session_moved';
}
