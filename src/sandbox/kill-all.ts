import { setTimeout as sleep } from 'node:timers/promises';
import type { Engine } from './engine.ts';
import { within } from './stop-signal.ts';

/** For the kill from outside: one in a fork bomb was measured to take 1.4 s. */
const UID_KILL_MS = 3000;
/** For kills one after the other: where no further process fits in, one ends without having killed. */
const KILLS_MS = 2000;

const EMPTY_LOOKS = 8;
const EMPTY_LOOK_EVERY_MS = 50;

/**
 * Ends every process of that user in a sandbox; true when none is left.
 * @throws GloveboxError `sandbox_lost` or `engine_unavailable`
 */
export async function killAll(engine: Engine, id: string, uid: number): Promise<boolean> {
  const lastKill = performance.now() + KILLS_MS;
  do {
    const ended = engine.killUser(id, uid).then(() => true);
    if (!(await within(UID_KILL_MS, ended))) return false;
    if (await isEmpty(engine, id, uid)) return true;
  } while (performance.now() < lastKill);
  return false;
}

/**
 * Looks a few times: killed processes take a moment to be gone, many of them a longer one.
 * Only twice in a row counts, because processes that fork without end can be missed by a single look.
 */
async function isEmpty(engine: Engine, id: string, uid: number): Promise<boolean> {
  let emptyLooks = 0;
  for (let look = 1; look <= EMPTY_LOOKS; look += 1) {
    emptyLooks = (await engine.hasProcesses(id, uid)) ? 0 : emptyLooks + 1;
    if (emptyLooks === 2) return true;
    await sleep(EMPTY_LOOK_EVERY_MS);
  }
  return false;
}
