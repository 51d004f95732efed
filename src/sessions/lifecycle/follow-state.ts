import type { ArchiveBounds } from '../../archives/settings.ts';
import { Disposables } from '../../lib/disposables.ts';
import type { Log } from '../../log.ts';
import type { Engine } from '../../sandbox/engine.ts';
import type { Pool } from '../../sandbox/pool.ts';
import type { ExecutionScheduler } from '../../scheduling/execution-scheduler.ts';
import type { MemoryQuota } from '../../scheduling/memory-quota.ts';
import type { SharedSession, SharedState } from '../../state/state.ts';
import type { SessionRegistry } from '../registry.ts';
import type { SandboxOwners } from '../sandbox-owners.ts';
import type { SessionClosing } from './closing.ts';
import { LeftSandboxes } from './left-sandboxes.ts';
import type { SessionLocator } from './locator.ts';
import { Orphans } from './orphans.ts';

export interface FollowOptions {
  readonly engine: Engine;
  readonly memory: MemoryQuota;
  readonly scheduler: ExecutionScheduler;
  readonly registry: SessionRegistry;
  readonly owners: SandboxOwners;
  readonly closing: SessionClosing;
  readonly locator: SessionLocator;
  readonly limits: ArchiveBounds;
  /** Returns the pool, once there is one. */
  readonly pool: () => Pick<Pool, 'adopt' | 'leave'> | undefined;
  readonly log: Log;
}

/**
 * Gives up sessions, and the pool, once another control plane may hold them, and takes over those that nobody holds and whose time is over.
 * Removes what dead control planes left. Counts limits over all, and takes a part of the places for executions.
 */
export function followState(state: SharedState, options: FollowOptions): Disposable {
  const { engine, memory, scheduler, registry, owners, closing, locator, limits, pool, log } = options;
  const listeners = new Disposables();
  listeners.use(
    state.onExpired(() => {
      for (const session of registry.all()) closing.lose(session);
      pool()?.leave();
    }),
  );
  listeners.use(
    state.onChange((now, before) => {
      if (now?.holder === state.self.name || !before) return;
      const session = registry.find(before.owner, before.id);
      if (session && isSame(owners.sharedOf(session), before)) closing.lose(session);
    }),
  );
  const share = () => scheduler.shareBetween(1 + state.others.length);
  listeners.use(state.onMembers(share));
  share();
  memory.elsewhere = (owner) => countElsewhere(state, registry, owner);
  listeners.use(new Orphans({ state, locator, limits, log }));
  listeners.use(new LeftSandboxes({ state, engine, pool, log }));
  return listeners;
}

/** Counts the sessions with a sandbox that are not here: of an owner, or of all. Makes no request. */
function countElsewhere(state: SharedState, registry: Pick<SessionRegistry, 'find'>, owner?: string): number {
  const all = owner === undefined ? state.all() : state.of(owner);
  return all.filter((session) => session.saved?.key !== undefined && !registry.find(session.owner, session.id)).length;
}

/** Whether both are one session, rather than one that was closed and its successor. */
function isSame(a: SharedSession | undefined, b: SharedSession): boolean {
  return a?.createdAt.getTime() === b.createdAt.getTime();
}
