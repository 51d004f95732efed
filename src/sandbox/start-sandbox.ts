import { randomBytes } from 'node:crypto';
import { GloveboxError } from '../errors.ts';
import { unlessAborted } from '../lib/unless-aborted.ts';
import type { Log } from '../log.ts';
import type { RunnerConfiguration } from '../protocol/channel.ts';
import type { OpenedEngine, OpenedSandbox } from './engine.ts';
import { type PreloadObserver, Sandbox } from './sandbox.ts';

/** Number of starts to try until a sandbox may be used. */
const ATTEMPTS = 5;
const NEVER = new AbortController().signal;

/** Engine that is ready to start sandboxes of one control plane, and their profile. */
export interface Backend extends OpenedEngine {
  /** Returns the label value that names the control plane. */
  readonly label: () => string;
  /** Whether a label is that of the control plane, and no other may have taken over what has it. Default: always. */
  readonly owns?: ((instance: string) => boolean) | undefined;
  /** Configuration to send to runners. */
  readonly configuration: RunnerConfiguration;
  readonly log: Log;
  /** Learns what executions use. Unset if nothing is loaded beforehand because of that. */
  readonly preloads?: PreloadObserver | undefined;
}

/** Creates the object for a sandbox that exists. */
export function openSandbox({ engine, configuration, log, preloads }: Backend, info: OpenedSandbox): Sandbox {
  return new Sandbox(engine, info, { configuration, log, preloads });
}

/** Creates the object for a sandbox that no session has. Nothing in it is ended or removed once others may take it over. */
export function openOwn(backend: Backend, info: OpenedSandbox): Sandbox {
  const sandbox = openSandbox(backend, info);
  const isConfirmed = async () => isOwn(backend, sandbox);
  sandbox.hold = { require: () => requireOwn(backend, sandbox), isConfirmed };
  return sandbox;
}

/** Takes over a sandbox in which nothing has run. @throws GloveboxError as `Sandbox.adopt` does, and if something has */
export async function adoptUnused(sandbox: Sandbox): Promise<void> {
  const state = await sandbox.adopt();
  if (!state || (state.contexts.length === 0 && state.executions.size === 0)) return;
  throw new GloveboxError('sandbox_lost', 'The sandbox was used before.');
}

/** Whether no other control plane may have taken a sandbox over. */
export function isOwn({ owns }: Backend, { instance }: Pick<Sandbox, 'instance'>): boolean {
  return instance === undefined || owns === undefined || owns(instance);
}

/** Removes a sandbox, unless another control plane may have taken it over. */
export async function retire(backend: Backend, sandbox: Sandbox): Promise<void> {
  if (isOwn(backend, sandbox)) await sandbox.remove();
  else sandbox.abandon();
}

export interface StartOptions {
  /** Ends the start: what it has made so far is removed. */
  readonly signal?: AbortSignal;
  readonly isPooled?: boolean;
}

/** Starts a sandbox with a user of its own and its runner ready. Leaves nothing behind when it fails. */
export async function startSandbox(
  backend: Backend,
  { signal = NEVER, isPooled = false }: StartOptions = {},
): Promise<Sandbox> {
  const { engine, profile, label } = backend;
  for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
    const key = randomBytes(10).toString('hex');
    const instance = label();
    requireOwn(backend, { instance });
    const { ref, confirmed } = await engine.start({ ...profile, instance, key, isPooled });
    const sandbox = openOwn(backend, { ref, key, instance });
    try {
      const [isUsable] = await unlessAborted(Promise.all([confirmed, sandbox.connect()]), signal);
      if (isUsable && isOwn(backend, sandbox)) return sandbox;
    } catch (error) {
      await retire(backend, sandbox).catch(() => {});
      throw error;
    }
    await retire(backend, sandbox);
  }
  throw new GloveboxError('capacity_exceeded', 'No free user was found for a new sandbox.', {
    hint: 'Remove sandboxes that are no longer needed from this engine, then try again.',
  });
}

/** @throws GloveboxError `engine_unavailable` once another control plane may take over what has the label */
function requireOwn(backend: Backend, sandbox: Pick<Sandbox, 'instance'>): void {
  if (!isOwn(backend, sandbox)) throw leftBehind();
}

/** The error for a sandbox that others may take over before a session has it. */
export function leftBehind(): GloveboxError {
  return new GloveboxError(
    'engine_unavailable',
    'This server lost touch with the others while it got a sandbox ready.',
    {
      hint: 'Call again.',
      begun: false,
    },
  );
}
