import { randomInt } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { GloveboxError } from '../errors.ts';
import { within } from '../lib/deadline.ts';

/**
 * Users of sessions: a range that fits a user-namespace map of 65 536.
 * The first of them have names in the image; all would add 130 ms to each start, for the engine reads them then.
 */
export const SESSION_UIDS = { first: 10_000, last: 59_999, lastNamed: 11_999 } as const;

/** Number of users to try before listing all sandboxes. With hundreds of sandboxes, the engine's list takes long. */
const GUESSES = 5;

/** Time limit for kills from outside, in milliseconds; see docs/decisions/kill-from-outside.md. */
const END_ALL_MS = 10_000;
/** Number of kills in a row that were themselves killed, after which the code is taken to kill them all. */
const MOST_KILLED = 2;
/** Number of checks for remaining processes after a kill. */
const EMPTY_CHECKS = 8;
/** Number of checks if nothing was killed: then nothing takes a moment to disappear. */
const KILLED_CHECKS = 2;
const CHECK_EVERY_MS = 50;

/** User of a sandbox, of this or another control plane. */
interface UserOfSandbox {
  readonly key: string;
  readonly uid: number;
}

/** Lists the users of all sandboxes on the engine; with `uid` at least those of that user, which is much cheaper. */
export type ListUsers = (uid?: number) => Promise<readonly UserOfSandbox[]>;

/** Processes of one user in one sandbox. */
export interface UserProcesses {
  /** Kills them. Returns false if the killing process ended silently, which means that it was killed itself. */
  kill(): Promise<boolean>;
  /** Returns whether there are any, as seen from outside the sandbox. */
  any(): Promise<boolean>;
}

/**
 * Picks a user that no sandbox on this engine has, one with a name if possible.
 * @throws GloveboxError `capacity_exceeded`
 */
export async function pickUser(listUsers: ListUsers): Promise<number> {
  for (let guess = 1; guess <= GUESSES; guess += 1) {
    const uid = randomInt(SESSION_UIDS.first, SESSION_UIDS.lastNamed + 1);
    if (await isFree(listUsers, uid)) return uid;
  }
  const taken = new Set((await listUsers()).map((sandbox) => sandbox.uid));
  const free = (first: number, last: number) =>
    Array.from({ length: last - first + 1 }, (_, index) => first + index).filter((uid) => !taken.has(uid));
  const named = free(SESSION_UIDS.first, SESSION_UIDS.lastNamed);
  const candidates = named.length > 0 ? named : free(SESSION_UIDS.lastNamed + 1, SESSION_UIDS.last);
  const uid = candidates[randomInt(Math.max(1, candidates.length))];
  if (uid === undefined) throw new GloveboxError('capacity_exceeded', 'Every user of the range has a sandbox.');
  return uid;
}

/** Checks a user. @param key name of a sandbox that may have the user */
export async function isFree(listUsers: ListUsers, uid: number, key?: string): Promise<boolean> {
  return (await listUsers(uid)).every((other) => other.uid !== uid || other.key === key);
}

/**
 * Ends every process of a user in a sandbox; true when none is left. An engine that such a sandbox holds up is
 * waited for no longer.
 * @throws GloveboxError `sandbox_lost` or `engine_unavailable`
 */
export async function endAll(processes: UserProcesses): Promise<boolean> {
  const deadline = performance.now() + END_ALL_MS;
  return (await within(END_ALL_MS, killUntil(deadline, processes))) ?? false;
}

/**
 * Kills again if need be: where no further process fits in, the one that is to kill ends without having done so.
 * Where it is killed, again and again, more time helps nobody.
 */
async function killUntil(deadline: number, processes: UserProcesses): Promise<boolean> {
  let killed = 0;
  do {
    const hasSpoken = await processes.kill();
    killed = hasSpoken ? 0 : killed + 1;
    if (await isEmpty(processes, hasSpoken ? EMPTY_CHECKS : KILLED_CHECKS)) return true;
  } while (killed < MOST_KILLED && performance.now() < deadline);
  return false;
}

/**
 * Checks several times, because killed processes take a moment to disappear. The user counts as empty after two empty
 * checks in a row: a single check can miss processes that fork without end.
 */
async function isEmpty(processes: UserProcesses, checks: number): Promise<boolean> {
  let emptyChecks = 0;
  for (let check = 1; check <= checks; check += 1) {
    emptyChecks = (await processes.any()) ? 0 : emptyChecks + 1;
    if (emptyChecks === 2) return true;
    await sleep(CHECK_EVERY_MS);
  }
  return false;
}
