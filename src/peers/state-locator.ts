import type { ControlPlane, SharedSession, SharedState } from '../state/state.ts';
import type { Locator } from './peer.ts';

export interface LocatorOptions {
  readonly state: SharedState;
  /** Whether this control plane has a session at the moment. */
  readonly isHere: (owner: string, id: string) => boolean;
  /** Whether an execution may be of a session, as far as its id tells. */
  readonly mayBeOf: (executionId: string, sessionId: string) => boolean;
}

/** Finds who answers for sessions by what the control planes share. */
export function createLocator({ state, isHere, mayBeOf }: LocatorOptions): Locator {
  const holderOf = (session: SharedSession | undefined): ControlPlane | undefined => session && state.holderOf(session);
  return {
    locate: async (owner, id) => {
      if (isHere(owner, id)) return 'here';
      // Another control plane may just have made it.
      const found = state.find(owner, id) ?? (state.others.length > 0 ? await state.lookUp(owner, id) : undefined);
      const holder = holderOf(found);
      if (!holder) return 'unknown';
      return holder.name === state.self.name ? 'here' : holder;
    },
    mayServe: (owner, id) => {
      if (!state.isValid) return false;
      const found = state.find(owner, id);
      return isHere(owner, id) || !found || holderOf(found)?.name === state.self.name;
    },
    changed: async (owner, id, signal) => {
      const { promise, resolve } = Promise.withResolvers<void>();
      using _sessions = state.onChange((now, before) => {
        const session = now ?? before;
        if (session?.owner === owner && session.id === id) resolve();
      });
      using _members = state.onMembers(resolve);
      signal.addEventListener('abort', () => resolve(), { once: true });
      if (!signal.aborted) await promise;
    },
    sessionOfExecution: (owner, executionId) => state.of(owner).find(({ id }) => mayBeOf(executionId, id))?.id,
  };
}
