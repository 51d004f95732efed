import { randomBytes, randomInt } from 'node:crypto';
import { GloveboxError } from '../errors.ts';
import type { Engine, SandboxSpec } from './engine.ts';
import { Sandbox } from './sandbox.ts';

/** Users of sessions: a range that the image has entries for, and that fits a user-namespace map. */
const FIRST_UID = 10_000;
const UIDS = 50_000;
const ATTEMPTS = 5;

/** What all sandboxes of one control plane have in common. */
export type SandboxProfile = Omit<SandboxSpec, 'key' | 'uid'>;

/** An engine that is ready to make sandboxes, and what they are to be. */
export interface Backend {
  readonly engine: Engine;
  readonly profile: SandboxProfile;
}

/** Starts a sandbox with a user of its own and its runner ready. Leaves nothing behind when it fails. */
export async function startSandbox({ engine, profile }: Backend): Promise<Sandbox> {
  for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
    const key = randomBytes(10).toString('hex');
    const uid = await pickUid(engine);
    const id = await engine.start({ ...profile, key, uid });
    const sandbox = new Sandbox(engine, { id, key, uid });
    try {
      if (await isOnlyUserOf(engine, uid, key)) {
        await sandbox.connect();
        return sandbox;
      }
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

/** A user that no sandbox of any control plane on this engine has. */
async function pickUid(engine: Engine): Promise<number> {
  const taken = new Set((await engine.list()).map((sandbox) => sandbox.uid));
  for (let attempt = 0; attempt < UIDS; attempt += 1) {
    const uid = FIRST_UID + randomInt(UIDS);
    if (!taken.has(uid)) return uid;
  }
  throw new GloveboxError('capacity_exceeded', 'Every user of the range has a sandbox.');
}

/** Looks again after the start: of two control planes that picked the same user at once, at least the later one sees it. */
async function isOnlyUserOf(engine: Engine, uid: number, key: string): Promise<boolean> {
  return (await engine.list()).every((other) => other.uid !== uid || other.key === key);
}
