import { randomBytes, randomInt } from 'node:crypto';
import { GloveboxError } from '../errors.ts';
import type { Log } from '../log.ts';
import type { RunnerConfiguration } from '../protocol/channel.ts';
import { type Engine, type OpenedEngine, SESSION_UIDS } from './engine.ts';
import { Sandbox } from './sandbox.ts';

const ATTEMPTS = 5;
/** Of a user, before all sandboxes are looked at: where there are hundreds, the engine takes long to list them. */
const GUESSES = 5;

/** An engine that is ready to make sandboxes of one control plane, and what they are to be. */
export interface Backend extends OpenedEngine {
  /** Names the control plane to the engine, in a label. */
  readonly instance: string;
  /** What runners are told. */
  readonly configuration: RunnerConfiguration;
  readonly log: Log;
}

/** A sandbox of that profile, which is there. */
export function openSandbox(
  { engine, configuration, log }: Backend,
  info: { readonly id: string; readonly key: string; readonly uid: number },
): Sandbox {
  return new Sandbox(engine, info, { configuration, log });
}

/** Starts a sandbox with a user of its own and its runner ready. Leaves nothing behind when it fails. */
export async function startSandbox(backend: Backend): Promise<Sandbox> {
  const { engine, profile, instance } = backend;
  for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
    const key = randomBytes(10).toString('hex');
    const uid = await pickUid(engine);
    const id = await engine.start({ ...profile, instance, key, uid });
    const sandbox = openSandbox(backend, { id, key, uid });
    try {
      // Of two control planes that picked the same user at once, at least the later one sees it now.
      const [isOwn] = await Promise.all([isFree(engine, uid, key), sandbox.connect()]);
      if (isOwn) return sandbox;
    } catch (error) {
      await sandbox.remove().catch(() => {});
      throw error;
    }
    await sandbox.remove();
  }
  throw new GloveboxError('capacity_exceeded', 'No free user was found for a new sandbox.', {
    hint: 'Remove sandboxes that nobody needs from this engine, then try again.',
  });
}

/** A user that no sandbox of any control plane on this engine has; one with a name while there are any. */
async function pickUid(engine: Engine): Promise<number> {
  for (let guess = 1; guess <= GUESSES; guess += 1) {
    const uid = randomInt(SESSION_UIDS.first, SESSION_UIDS.lastNamed + 1);
    if (await isFree(engine, uid)) return uid;
  }
  const taken = new Set((await engine.list()).map((sandbox) => sandbox.uid));
  const free = (first: number, last: number) =>
    Array.from({ length: last - first + 1 }, (_, index) => first + index).filter((uid) => !taken.has(uid));
  const named = free(SESSION_UIDS.first, SESSION_UIDS.lastNamed);
  const candidates = named.length > 0 ? named : free(SESSION_UIDS.lastNamed + 1, SESSION_UIDS.last);
  const uid = candidates[randomInt(Math.max(1, candidates.length))];
  if (uid === undefined) throw new GloveboxError('capacity_exceeded', 'Every user of the range has a sandbox.');
  return uid;
}

/** @param key of a sandbox that may have the user */
async function isFree(engine: Engine, uid: number, key?: string): Promise<boolean> {
  return (await engine.list(uid)).every((other) => other.uid !== uid || other.key === key);
}
