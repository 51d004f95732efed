import type { ArchiveRecord } from '../../archives/record.ts';
import type { Log } from '../../log.ts';
import type { SandboxHandle } from '../../sandbox/sandbox.ts';
import type { SessionSummary } from '../identity.ts';
import type { Manifest } from '../manifests.ts';
import type { Remains } from '../recovery.ts';
import type { SessionRegistry } from '../registry.ts';
import type { SandboxOwners } from '../sandbox-owners.ts';
import { Session, type SessionHost } from '../session.ts';

export interface SessionAdoptionOptions {
  readonly host: SessionHost;
  readonly owners: SandboxOwners;
  readonly registry: SessionRegistry;
  readonly log: Log;
}

/** Takes over sessions of earlier runs, and creates sessions from archives. */
export class SessionAdoption {
  readonly #options: SessionAdoptionOptions;

  constructor(options: SessionAdoptionOptions) {
    this.#options = options;
  }

  /** Takes over a session that had a sandbox, with the sandbox if it still runs. */
  adopt(manifest: Manifest, sandbox: SandboxHandle | undefined, remains: Remains): void {
    const { host, owners, registry } = this.#options;
    const identity = { id: manifest.session_id, owner: manifest.owner, createdAt: new Date(manifest.created_at) };
    const record = host.archives.find(identity.owner, identity.id);
    const session = new Session(identity, host, { sandbox, record });
    if (sandbox) owners.adopt(session, sandbox);
    else owners.keepFormer(session, manifest.key);
    session.lifetime.wake(new Date(manifest.woken_at ?? manifest.created_at));
    registry.enter(session);
    session.recover(remains);
    session.lifetime.touch(new Date(manifest.last_used_at));
    for (const { outcome, ended } of session.background.list()) {
      if (outcome) continue;
      const held = session.use();
      void ended.then(() => held[Symbol.dispose]());
    }
  }

  /** Creates a hibernated session from an archive. @throws GloveboxError when a session of that id exists */
  adoptArchive(record: ArchiveRecord): SessionSummary {
    return this.#enter(record).summarize();
  }

  /** Restores sessions of an earlier run that have an archive but no sandbox. */
  async adoptArchives(): Promise<void> {
    const { host, registry, log } = this.#options;
    const { archives } = host;
    for (const record of archives.store.records) {
      if (record.kind !== 'session' || registry.find(record.owner, record.session_id)) continue;
      const { session_id, owner, saved_at } = record;
      const hasEnded = Date.parse(saved_at) + host.limits.idleTtlS * 1000 <= Date.now();
      if (!record.at_rest && !archives.hibernates && hasEnded) {
        await archives.store.remove(record.id);
        continue;
      }
      if (!record.at_rest) archives.store.update(record.id, { at_rest: true });
      const session = this.#enter(archives.store.get(record.id) ?? record);
      // Restores the results of background executions that ended before it was hibernated.
      session.recover({ contexts: [] });
      log.info('a session came back as an archive', { session: session_id, owner });
      if (record.at_rest) continue;
      session.addLoss({ reason: 'sandbox_lost', lost: ['files', 'contexts', 'background'], restoredFrom: saved_at });
    }
  }

  #enter(record: ArchiveRecord): Session {
    const { host, registry } = this.#options;
    const identity = { id: record.session_id, owner: record.owner, createdAt: new Date(record.created_at) };
    registry.checkFree(identity.owner, identity.id);
    const session = new Session(identity, host, { record });
    session.lifetime.touch(new Date(record.saved_at));
    registry.enter(session);
    return session;
  }
}
