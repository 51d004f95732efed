import type { ArchiveBounds } from '../../archives/settings.ts';
import type { Log } from '../../log.ts';
import { atRandomPauses } from '../../state/at-random-pauses.ts';
import type { SavedSession, SharedSession, SharedState } from '../../state/state.ts';
import type { SessionLocator } from './locator.ts';

/** Pause between two looks for sessions that nobody holds, in milliseconds. Random, so that control planes take turns. */
const PAUSE_MS = { least: 5_000, most: 15_000 };
/** Number of sessions that are taken over in one look. Others look too. */
const AT_ONCE = 4;

export interface OrphansOptions {
  readonly state: SharedState;
  readonly locator: Pick<SessionLocator, 'locate'>;
  readonly limits: Pick<ArchiveBounds, 'idleTtlS' | 'hibernateAfterS' | 'archiveTtlS'>;
  readonly log: Log;
}

/**
 * Takes over sessions that no control plane holds once their time is over, so that they hibernate or end as those do that
 * somebody holds. A session that is used before is taken over by the call.
 */
export class Orphans implements Disposable {
  readonly #options: OrphansOptions;
  readonly #closing = new AbortController();
  readonly #looks: Disposable;

  constructor(options: OrphansOptions) {
    this.#options = options;
    this.#looks = atRandomPauses(PAUSE_MS, () => this.look());
  }

  /** Ends the looks. */
  [Symbol.dispose](): void {
    this.#closing.abort();
    this.#looks[Symbol.dispose]();
  }

  /** Takes over some of the sessions whose time is over. */
  async look(): Promise<void> {
    const { state, locator, limits, log } = this.#options;
    if (!state.isValid) return;
    const due = state
      .all()
      .filter((session) => state.holderOf(session) === undefined && isDue(session, limits))
      .slice(0, AT_ONCE);
    for (const { owner, id } of due) {
      await locator.locate(owner, id, this.#closing.signal).catch((error: unknown) => {
        if (!this.#closing.signal.aborted) log.warn('a session could not be taken over', { session: id, owner, error });
      });
    }
  }
}

/** Whether a session would hibernate or end now if somebody held it. */
export function isDue({ createdAt, saved }: SharedSession, limits: OrphansOptions['limits']): boolean {
  const lastUsed = saved ? lastUseOf(saved) : createdAt.getTime();
  const { idleTtlS, hibernateAfterS, archiveTtlS } = limits;
  const isAwake = saved?.key !== undefined;
  const losesNothing = !saved?.contexts?.length && !saved?.terminals?.length;
  const awakeS = hibernateAfterS > 0 && losesNothing ? Math.min(hibernateAfterS, idleTtlS) : idleTtlS;
  return lastUsed + (isAwake ? awakeS : saved?.archive ? archiveTtlS : idleTtlS) * 1000 <= Date.now();
}

/** Time of the last use of a session, or until which something may run there, in milliseconds since 1970. */
function lastUseOf({ last_used_at: lastUsed, busy_until: busy = lastUsed }: SavedSession): number {
  return Math.max(Date.parse(lastUsed), Date.parse(busy));
}
