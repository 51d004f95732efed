import type { Duplex } from 'node:stream';
import type { TunnelService } from '../protocol/channel.ts';
import type { SandboxHandle } from '../sandbox/sandbox.ts';
import type { MemoryQuota } from '../scheduling/memory-quota.ts';
import type { SessionTerminals } from '../terminals/session-terminals.ts';
import type { BackgroundExecutions } from './background-executions.ts';
import type { Contexts } from './contexts.ts';
import type { SessionIdentity } from './identity.ts';
import type { Downloads } from './installation.ts';
import type { Lifetime } from './lifecycle/lifetime.ts';
import type { Manifests } from './manifests.ts';

/** Longest time by which the time of last use in a manifest may be behind, in milliseconds. */
const WRITE_EVERY_MS = 10_000;

/** Part of a session that concerns its sandbox. */
export interface OwningSession extends SessionIdentity {
  readonly lifetime: Pick<Lifetime, 'lastUsedAt' | 'wokenAt'>;
  readonly contexts: Pick<Contexts, 'names'>;
  readonly background: Pick<BackgroundExecutions, 'busyUntil'>;
  readonly terminals: Pick<SessionTerminals, 'recorded'>;
  readonly downloads: Downloads;
}

export interface SandboxOwnersOptions {
  readonly manifests: Manifests;
  /** Memory quota of all sandboxes. */
  readonly memory: MemoryQuota;
  /** Called with each connection that code of a session makes to a service. */
  readonly onTunnel?: (tunnel: Duplex, session: OwningSession, service: TunnelService) => void;
  /** Called when a session gets a sandbox, before anything runs there. */
  readonly onSandbox?: (session: SessionIdentity) => void;
}

/** Records the owner of each sandbox: counts its memory against the owner, and writes its manifest for the next run. */
export class SandboxOwners {
  readonly #options: SandboxOwnersOptions;
  /** Owners by sandbox key. */
  readonly #owners = new Map<string, string>();
  /** Time when the manifest of each session was last written, in milliseconds since 1970. */
  readonly #writtenAt = new WeakMap<OwningSession, number>();
  /** Keys of sandboxes that were gone when this control plane started, but whose manifests still exist. */
  readonly #formerKeys = new WeakMap<OwningSession, string>();

  constructor(options: SandboxOwnersOptions) {
    this.#options = options;
  }

  /** Records the sandbox of a session. Its memory is already counted against the owner. */
  enter(session: OwningSession, sandbox: SandboxHandle): void {
    const { onTunnel, onSandbox } = this.#options;
    onSandbox?.(session);
    this.#owners.set(sandbox.key, session.owner);
    if (onTunnel) sandbox.onTunnel = (tunnel, service) => onTunnel(tunnel, session, service);
  }

  /** Records a sandbox of an earlier run for its session, even beyond the limits. */
  adopt(session: OwningSession, sandbox: SandboxHandle): void {
    this.#options.memory.claimAnyway(session.owner);
    this.enter(session, sandbox);
  }

  /** Removes a sandbox that is gone. */
  leave({ key }: SandboxHandle): void {
    this.#options.manifests.remove(key);
    const owner = this.#owners.get(key);
    if (this.#owners.delete(key) && owner !== undefined) this.#options.memory.release(owner);
  }

  /** Writes the manifest of a session's sandbox with the session's current state. */
  write(session: OwningSession, key: string): void {
    this.#writtenAt.set(session, Date.now());
    const { busyUntil } = session.background;
    const { recorded: terminals } = session.terminals;
    this.#options.manifests.write({
      key,
      session_id: session.id,
      owner: session.owner,
      created_at: session.createdAt.toISOString(),
      last_used_at: session.lifetime.lastUsedAt.toISOString(),
      woken_at: session.lifetime.wokenAt.toISOString(),
      contexts: session.contexts.names,
      ...(terminals.length > 0 ? { terminals } : {}),
      ...(session.webPatterns ? { web: [...session.webPatterns] } : {}),
      ...(busyUntil ? { busy_until: busyUntil.toISOString() } : {}),
    });
  }

  /** Whether the manifest is old enough to write it again after a use. Writing it for each call would slow calls down. */
  isOutdated(session: OwningSession): boolean {
    return session.lifetime.lastUsedAt.getTime() - (this.#writtenAt.get(session) ?? 0) >= WRITE_EVERY_MS;
  }

  /** Removes a sandbox of an earlier run that could not be adopted, but keeps its manifest as `keepFormer` does. */
  leaveFormer(session: OwningSession, { key }: SandboxHandle): void {
    this.#owners.delete(key);
    this.#options.memory.release(session.owner);
    this.keepFormer(session, key);
  }

  /** Keeps the manifest of a sandbox that was gone at the start, until the session has another sandbox. */
  keepFormer(session: OwningSession, key: string): void {
    this.#formerKeys.set(session, key);
  }

  /** Removes the manifest kept by `keepFormer`. Called once there is another manifest or the session is gone. */
  forgetFormer(session: OwningSession): void {
    const key = this.#formerKeys.get(session);
    if (key !== undefined) this.#options.manifests.remove(key);
    this.#formerKeys.delete(session);
  }
}
