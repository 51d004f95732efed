import { randomBytes } from 'node:crypto';
import { GloveboxError } from '../errors.ts';
import { unlessAborted } from '../lib/unless-aborted.ts';
import type { Log } from '../log.ts';
import type { RunnerConfiguration } from '../protocol/channel.ts';
import type { OpenedEngine, SandboxInfo } from './engine.ts';
import { type PreloadObserver, Sandbox } from './sandbox.ts';

/** Number of starts to try until a sandbox may be used. */
const ATTEMPTS = 5;
const NEVER = new AbortController().signal;

/** Engine that is ready to start sandboxes of one control plane, and their profile. */
export interface Backend extends OpenedEngine {
  /** Returns the label value that names the control plane. */
  readonly label: () => string;
  /** Configuration to send to runners. */
  readonly configuration: RunnerConfiguration;
  readonly log: Log;
  /** Learns what executions use. Unset if nothing is loaded beforehand because of that. */
  readonly preloads?: PreloadObserver | undefined;
}

/** Creates the object for a sandbox that exists. @param generation how often its session was claimed */
export function openSandbox(
  { engine, configuration, log, preloads }: Backend,
  info: Pick<SandboxInfo, 'ref' | 'key'>,
  generation?: number,
): Sandbox {
  const sandbox = new Sandbox(engine, info, { configuration, log, preloads });
  sandbox.generation = generation;
  return sandbox;
}

/**
 * Starts a sandbox with a user of its own and its runner ready. Leaves nothing behind when it fails.
 * @param signal ends the start: what it has made so far is removed
 */
export async function startSandbox(backend: Backend, signal: AbortSignal = NEVER): Promise<Sandbox> {
  const { engine, profile, label } = backend;
  for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
    const key = randomBytes(10).toString('hex');
    const { ref, confirmed } = await engine.start({ ...profile, instance: label(), key });
    const sandbox = openSandbox(backend, { ref, key });
    try {
      const [isUsable] = await unlessAborted(Promise.all([confirmed, sandbox.connect()]), signal);
      if (isUsable) return sandbox;
    } catch (error) {
      await sandbox.remove().catch(() => {});
      throw error;
    }
    await sandbox.remove();
  }
  throw new GloveboxError('capacity_exceeded', 'No free user was found for a new sandbox.', {
    hint: 'Remove sandboxes that are no longer needed from this engine, then try again.',
  });
}
