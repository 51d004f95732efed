import { setTimeout as sleep } from 'node:timers/promises';
import { within } from '../../lib/deadline.ts';
import type { Engine } from '../../sandbox/engine.ts';

/** For kills from outside until one has ended all: docs/decisions/kill-from-outside.md. */
const KILL_ALL_MS = 5000;

/** Of those that are to kill, until what runs is taken for one that kills them all. */
const MOST_KILLED = 2;

const EMPTY_LOOKS = 8;
/** Where nothing was killed, there is nothing that takes a moment to be gone. */
const KILLED_LOOKS = 2;
const EMPTY_LOOK_EVERY_MS = 50;

/**
 * Ends every process of that user in a sandbox; true when none is left. An engine that such a sandbox holds up is
 * waited for no longer.
 * @throws GloveboxError `sandbox_lost` or `engine_unavailable`
 */
export async function killAll(engine: Engine, id: string, uid: number): Promise<boolean> {
  const deadline = performance.now() + KILL_ALL_MS;
  return (await within(KILL_ALL_MS, killUntil(deadline, engine, id, uid))) ?? false;
}

/**
 * Kills again if need be: where no further process fits in, the one that is to kill ends without having done so.
 * Where it is killed, again and again, more time helps nobody.
 */
async function killUntil(deadline: number, engine: Engine, id: string, uid: number): Promise<boolean> {
  let killed = 0;
  do {
    const hasSpoken = await engine.killUser(id, uid);
    killed = hasSpoken ? 0 : killed + 1;
    if (await isEmpty(engine, id, uid, hasSpoken ? EMPTY_LOOKS : KILLED_LOOKS)) return true;
  } while (killed < MOST_KILLED && performance.now() < deadline);
  return false;
}

/**
 * Looks a few times: killed processes take a moment to be gone, many of them a longer one.
 * Only twice in a row counts, because processes that fork without end can be missed by a single look.
 */
async function isEmpty(engine: Engine, id: string, uid: number, looks: number): Promise<boolean> {
  let emptyLooks = 0;
  for (let look = 1; look <= looks; look += 1) {
    emptyLooks = (await engine.hasProcesses(id, uid)) ? 0 : emptyLooks + 1;
    if (emptyLooks === 2) return true;
    await sleep(EMPTY_LOOK_EVERY_MS);
  }
  return false;
}
