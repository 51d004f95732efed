import type { Log } from '../../log.ts';
import type { SessionIdentity } from '../identity.ts';
import type { SessionRegistry } from '../registry.ts';
import type { SandboxOwners } from '../sandbox-owners.ts';
import type { Session } from '../session.ts';
import type { ReleasingSessions } from './releasing.ts';

export interface SessionClosingOptions {
  readonly registry: SessionRegistry;
  readonly owners: SandboxOwners;
  readonly releasing: ReleasingSessions;
  readonly log: Log;
}

/** Lets go of sessions: closes them, leaves them to the next control plane, or gives up those that another has taken. */
export class SessionClosing {
  readonly #options: SessionClosingOptions;

  constructor(options: SessionClosingOptions) {
    this.#options = options;
  }

  /** Closes a session and removes its contents. @throws GloveboxError when something of it could not be removed */
  async close(session: Session): Promise<void> {
    this.#options.registry.remove(session);
    await this.#options.releasing.add(session, session.close());
  }

  /** Closes a session, and logs a failure instead of throwing it. */
  async closeLogged(session: Session, why: string): Promise<void> {
    const { log } = this.#options;
    const about = { session: session.id, owner: session.owner };
    log.info('closing a session', { ...about, why });
    await this.close(session).catch((error: unknown) =>
      log.warn('a session could not be removed', { ...about, error }),
    );
  }

  /**
   * Ends a session because this control plane stops.
   * @param mode `keep`: leaves it to the next one, as it is
   * @param isUnknown whether it was never adopted, so that what its former holder wrote down says more of it
   */
  async end(session: Session, mode: 'remove' | 'keep', isUnknown: boolean): Promise<void> {
    if (mode === 'remove' && !session.isHibernated) return await session.close().catch(() => {});
    const { owners, log } = this.#options;
    const hasSandbox = (await session.sandboxKey()) !== undefined;
    const saved = hasSandbox && !isUnknown ? owners.describe(session) : undefined;
    await session.abandon();
    await owners.release(session, saved).catch((error: unknown) => {
      log.warn('a session could not be released', { session: session.id, owner: session.owner, error });
    });
  }

  /** Gives up a session that another control plane may hold: removes and writes nothing. Calls under way fail. */
  lose({ owner, id }: SessionIdentity): void {
    const { registry, owners, log } = this.#options;
    const session = registry.find(owner, id);
    if (!session) return;
    registry.remove(session);
    owners.abandon(session);
    log.warn('another server may hold a session: it is given up', { session: session.id, owner: session.owner });
    void session.lose();
  }
}
