import type { Duplex } from 'node:stream';
import type { Sandbox } from '../sandbox/sandbox.ts';
import type { MemoryQuota } from '../scheduling/memory-quota.ts';
import type { Manifests } from './manifests.ts';
import type { Session } from './session.ts';

export interface SandboxOwnersOptions {
  readonly manifests: Manifests;
  /** Of all sandboxes. */
  readonly memory: MemoryQuota;
  /** Takes each connection that code of a session makes to its package index. */
  readonly onTunnel?: (tunnel: Duplex, session: Session) => void;
}

/** Whose each sandbox is: the memory that counts against its owner, and the manifest that tells the next run. */
export class SandboxOwners {
  readonly #options: SandboxOwnersOptions;
  /** Owners, by the keys of their sandboxes. */
  readonly #owners = new Map<string, string>();

  constructor(options: SandboxOwnersOptions) {
    this.#options = options;
  }

  /** Makes a sandbox a session's, whose owner's memory it counts against already. */
  enter(session: Session, sandbox: Sandbox): void {
    const { onTunnel } = this.#options;
    this.#owners.set(sandbox.key, session.owner);
    if (onTunnel) sandbox.onTunnel = (tunnel) => onTunnel(tunnel, session);
  }

  /** Makes one that an earlier run left a session's, whatever the limits are now. */
  adopt(session: Session, sandbox: Sandbox): void {
    this.#options.memory.claimAnyway(session.owner);
    this.enter(session, sandbox);
  }

  /** Forgets a sandbox that is gone. */
  leave({ key }: Sandbox): void {
    this.#options.manifests.remove(key);
    const owner = this.#owners.get(key);
    if (this.#owners.delete(key) && owner !== undefined) this.#options.memory.release(owner);
  }

  /** Writes the manifest of a session's sandbox as the session is now. */
  write(session: Session, key: string): void {
    session.recordedAt = Date.now();
    const { busyUntil } = session.background;
    this.#options.manifests.write({
      key,
      session_id: session.id,
      owner: session.owner,
      created_at: session.createdAt.toISOString(),
      last_used_at: session.lastUsedAt.toISOString(),
      woken_at: session.wokenAt.toISOString(),
      contexts: session.contexts.names,
      ...(busyUntil ? { busy_until: busyUntil.toISOString() } : {}),
    });
  }

  /** The manifest of a sandbox that was gone at the start is needed only until there is another. */
  forgetFormer(session: Session): void {
    if (session.formerKey !== undefined) this.#options.manifests.remove(session.formerKey);
    session.formerKey = undefined;
  }
}
