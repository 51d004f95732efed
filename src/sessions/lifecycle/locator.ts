import { GloveboxError } from '../../errors.ts';
import { unlessAborted } from '../../lib/unless-aborted.ts';
import { ClaimLost, type ControlPlane, type SharedSession, type SharedState } from '../../state/state.ts';
import { mayBeOf } from '../names.ts';
import type { SessionRegistry } from '../registry.ts';

export interface SessionLocatorOptions {
  /** Returns what the control planes share. It is there once the engine is ready. */
  readonly state: () => SharedState;
  readonly registry: Pick<SessionRegistry, 'find'>;
  /** Claims a session that nobody holds, and registers it. @throws ClaimLost, or an error of the engine */
  readonly takeOver: (session: SharedSession) => Promise<void>;
  /** Whether a session of that id is being closed here. */
  readonly isClosing: (owner: string, id: string) => boolean;
}

/** Who answers for a session: this control plane, another one, or nobody, because there is no such session. */
export type Whereabouts = 'here' | 'unknown' | ControlPlane;

/** Attempts to claim a session that others claim and let go at the same time. */
const MOST_ATTEMPTS = 5;

/** Finds the control planes that answer for sessions, and takes over what nobody holds. */
export class SessionLocator {
  readonly #options: SessionLocatorOptions;
  readonly #underWay = new Map<string, Promise<void>>();

  constructor(options: SessionLocatorOptions) {
    this.#options = options;
  }

  /**
   * Finds who answers for a session. One that nobody holds is taken over.
   * @throws GloveboxError `engine_unavailable` while this control plane has lost its group, or the signal's reason
   */
  async locate(owner: string, id: string, signal: AbortSignal): Promise<Whereabouts> {
    const state = this.#options.state();
    if (!state.isValid) throw cutOff();
    if (this.#options.registry.find(owner, id)) return 'here';
    // Another control plane may just have made it.
    const found = state.find(owner, id) ?? (state.others.length > 0 ? await state.lookUp(owner, id) : undefined);
    return await unlessAborted(this.#settle(owner, id, found), signal);
  }

  /** Takes over a session of an owner that nobody holds. Does nothing for one that is here. @throws SessionElsewhere */
  async bringHere(owner: string, id: string, signal: AbortSignal): Promise<void> {
    const found = await this.locate(owner, id, signal);
    if (typeof found !== 'string') throw new SessionElsewhere(id, found);
  }

  /** Whether this control plane answers for a session at the moment, or there is none of that id. Makes no request. */
  mayServe(owner: string, id: string): boolean {
    const state = this.#options.state();
    if (!state.isValid) return false;
    if (this.#options.registry.find(owner, id)) return true;
    const found = state.find(owner, id);
    return found === undefined || state.holderOf(found)?.name === state.self.name;
  }

  /** Resolves at a change of who may hold a session, or when the signal aborts. */
  async changed(owner: string, id: string, signal: AbortSignal): Promise<void> {
    const state = this.#options.state();
    const { promise, resolve } = Promise.withResolvers<void>();
    const isIt = (session: SharedSession | undefined) => session?.owner === owner && session.id === id;
    using _sessions = state.onChange((now, before) => {
      if (isIt(now ?? before)) resolve();
    });
    using _members = state.onMembers(resolve);
    signal.addEventListener('abort', () => resolve(), { once: true });
    if (signal.aborted) return;
    await promise;
  }

  /** The session that an execution ran in, as far as its id tells. */
  sessionOfExecution(owner: string, executionId: string): string | undefined {
    const sessions = this.#options.state().of(owner);
    return sessions.find(({ id }) => mayBeOf(executionId, id))?.id;
  }

  async #settle(owner: string, id: string, found: SharedSession | undefined): Promise<Whereabouts> {
    const state = this.#options.state();
    let session = found;
    for (let attempt = 1; session; attempt += 1) {
      const holder = state.holderOf(session);
      const underWay = this.#underWay.get(keyOf(owner, id));
      if (holder && holder.name !== state.self.name) return holder;
      // One that is held here, and not registered, was claimed or made without an answer, unless it is being closed.
      if (this.#options.isClosing(owner, id)) return 'here';
      try {
        await (underWay ?? this.#takeOver(session));
        return 'here';
      } catch (error) {
        if (!(error instanceof ClaimLost) || attempt === MOST_ATTEMPTS) throw error;
        session = error.present;
      }
    }
    return 'unknown';
  }

  #takeOver(session: SharedSession): Promise<void> {
    const key = keyOf(session.owner, session.id);
    const work = this.#options.takeOver(session).finally(() => this.#underWay.delete(key));
    this.#underWay.set(key, work);
    return work;
  }
}

/** Another control plane answers for the session. Nothing of the call was done. */
export class SessionElsewhere extends GloveboxError {
  readonly holder: ControlPlane;

  constructor(id: string, holder: ControlPlane) {
    super('session_moved', `Another server of this service holds the session "${id}".`, { begun: false });
    this.holder = holder;
  }
}

function cutOff(): GloveboxError {
  return new GloveboxError('engine_unavailable', 'This server has lost touch with the others of its service.', {
    hint: 'Try again in some seconds.',
    begun: false,
  });
}

/** Returns a unique key for owner and id: no name contains NUL. */
function keyOf(owner: string, id: string): string {
  return `${owner}\0${id}`;
}
