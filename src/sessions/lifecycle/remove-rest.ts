import { setTimeout as sleep } from 'node:timers/promises';
import type { Log } from '../../log.ts';
import type { Engine, SandboxRef } from '../../sandbox/engine.ts';
import type { DirectoryState } from '../../state/directory.ts';

/** Longest time in which removals are begun again, in milliseconds: who stops a server waits for its end. */
const LIMIT_MS = 10_000;
/** Pause before what the engine refused is tried again, in milliseconds. */
const AGAIN_MS = 250;

export interface RestOptions {
  readonly engine: Engine;
  readonly state: Pick<DirectoryState, 'label' | 'all' | 'forget'>;
  /** Whether sandboxes of sessions are left to the next run of this instance. */
  readonly keepsSessions: boolean;
  /** Called if something is left, before it is removed. */
  readonly onLeft: () => void;
  readonly log: Log;
}

/**
 * Removes what is left of this instance on the engine once all else has ended: what the engine made when nobody waited for
 * that any more, because the control plane that had asked was killed, and what it could not remove before. Docker on a busy
 * machine says after 12 seconds that it could not kill a container, which ends a moment later.
 */
export async function removeRest(options: RestOptions): Promise<void> {
  try {
    await removeAgain(options);
  } catch (error) {
    options.log.warn('sandboxes may be left, which the next start removes', { error });
  }
}

/** @throws GloveboxError `engine_unavailable` when the engine does not answer, or has refused for too long */
async function removeAgain({ engine, state, keepsSessions, onLeft }: RestOptions): Promise<void> {
  const kept = new Set(keepsSessions ? state.all().map(({ saved }) => saved?.key) : []);
  const removed = new Set<SandboxRef>();
  const until = performance.now() + LIMIT_MS;
  let isTold = false;
  for (;;) {
    const own = (await engine.list()).filter((sandbox) => sandbox.instance === state.label && !kept.has(sandbox.key));
    // An engine may still list what is as good as gone.
    const left = own.filter(({ ref }) => !removed.has(ref));
    if (left.length === 0) return;
    if (!isTold) onLeft();
    isTold = true;
    const attempts = await Promise.allSettled(
      left.map(async ({ ref, key }) => {
        await engine.remove(ref);
        removed.add(ref);
        state.forget(key);
      }),
    );
    const refused = attempts.find((attempt) => attempt.status === 'rejected');
    if (refused && performance.now() > until) throw refused.reason;
    if (refused) await sleep(AGAIN_MS);
  }
}
