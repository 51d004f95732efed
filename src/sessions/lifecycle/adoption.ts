import type { ArchiveRecord } from '../../archives/record.ts';
import { GloveboxError } from '../../errors.ts';
import type { SandboxReset } from '../../execution/request.ts';
import type { Log } from '../../log.ts';
import type { RunnerState } from '../../protocol/greeting.ts';
import { isIncompatible } from '../../sandbox/runner-connection.ts';
import type { SandboxHandle } from '../../sandbox/sandbox.ts';
import type { SavedSession, SharedSession } from '../../state/state.ts';
import { traceSession } from '../../telemetry/session-spans.ts';
import type { SessionSummary } from '../identity.ts';
import type { Remains } from '../recovery.ts';
import type { SessionRegistry } from '../registry.ts';
import type { SandboxOwners } from '../sandbox-owners.ts';
import { Session } from '../session.ts';
import type { SessionHost } from '../session-host.ts';
import type { Adoptions } from './adoptions.ts';

export interface SessionAdoptionOptions {
  readonly host: SessionHost;
  readonly owners: SandboxOwners;
  readonly registry: SessionRegistry;
  readonly adoptions: Adoptions;
  readonly log: Log;
}

/** Takes over sessions of earlier runs, and creates sessions from archives. */
export class SessionAdoption {
  readonly #options: SessionAdoptionOptions;

  constructor(options: SessionAdoptionOptions) {
    this.#options = options;
  }

  /**
   * Takes over a session that had a sandbox. It is registered and counted at once. What still runs in its sandbox is
   * adopted later, in turn with that of other sessions.
   * @param held the session, which this control plane has claimed
   * @param record that of its archive, if it has one
   */
  adopt(held: SharedSession, sandbox: SandboxHandle | undefined, record: ArchiveRecord | undefined): void {
    const { host, owners, registry, adoptions } = this.#options;
    const { saved = { last_used_at: held.createdAt.toISOString() } } = held;
    const identity = { id: held.id, owner: held.owner, createdAt: held.createdAt, webPatterns: saved.web };
    const adopt = (): Promise<void> => adoptions.now(session);
    const session: Session = new Session(identity, host, {
      record,
      ...(sandbox ? { sandbox: { handle: sandbox, adopt } } : {}),
    });
    session.lifetime.wake(saved.woken_at === undefined ? held.createdAt : new Date(saved.woken_at));
    session.lifetime.touch(new Date(saved.last_used_at));
    session.contexts.recover(saved.contexts ?? [], saved.contexts ?? []);
    session.terminals.recover(saved.terminals ?? []);
    owners.hold(session, held);
    if (!sandbox) {
      registry.enter(session);
      this.#settle(session, saved, { sandboxLost: 'sandbox_lost' });
      return;
    }
    owners.adopt(session, sandbox);
    registry.enter(session);
    const use = session.lifetime.hold();
    adoptions.add(session, async () => {
      await traceSession('glovebox.session.adopt', session, () => this.#adoptSandbox(session, saved, sandbox));
      use[Symbol.dispose]();
    });
  }

  /** Creates a hibernated session from an archive. @throws GloveboxError when a session of that id exists */
  async adoptArchive(record: ArchiveRecord): Promise<SessionSummary> {
    return (await this.#enter(record)).summarize();
  }

  /** Registers a claimed session that has no sandbox. @param record that of its archive, if it has one */
  async adoptResting(held: SharedSession, record: ArchiveRecord | undefined): Promise<void> {
    const { host, owners, registry } = this.#options;
    const { saved } = held;
    const resting = record && !record.at_rest ? host.archives.store.update(record, { at_rest: true }).record : record;
    const identity = { id: held.id, owner: held.owner, createdAt: held.createdAt, webPatterns: saved?.web };
    const session = new Session(identity, host, { record: resting });
    const savedAt = record?.saved_at ?? saved?.last_used_at;
    session.lifetime.touch(savedAt === undefined ? held.createdAt : new Date(savedAt));
    owners.hold(session, held);
    registry.enter(session);
    session.recover({ contexts: [] });
    if (resting === record || !record) return;
    session.addLoss(lostSince(record));
  }

  /** Restores sessions of an earlier run that have an archive but no sandbox. */
  async adoptArchives(): Promise<void> {
    const { host, registry, log } = this.#options;
    const { archives } = host;
    for (const record of await archives.store.records({ kind: 'session' })) {
      if (registry.find(record.owner, record.session_id)) continue;
      const { session_id, owner, saved_at } = record;
      const hasEnded = Date.parse(saved_at) + host.limits.idleTtlS * 1000 <= Date.now();
      if (!record.at_rest && !archives.hibernates && hasEnded) {
        await archives.store.remove(record);
        continue;
      }
      const session = await this.#enter(
        record.at_rest ? record : archives.store.update(record, { at_rest: true }).record,
      );
      // Restores the results of background executions that ended before it was hibernated.
      session.recover({ contexts: [] });
      log.info('a session came back as an archive', { session: session_id, owner });
      if (record.at_rest) continue;
      session.addLoss(lostSince(record));
    }
  }

  /** @throws GloveboxError `engine_unavailable`; then the session is as before */
  async #adoptSandbox(session: Session, saved: SavedSession, sandbox: SandboxHandle): Promise<void> {
    const { owners, log } = this.#options;
    const remains = await runnerOf(sandbox).catch((error: unknown) => {
      if (!(error instanceof GloveboxError && error.code === 'sandbox_lost')) throw error;
      if (this.#isOpen(session))
        log.warn('a sandbox could not be adopted', { session: session.id, owner: session.owner, error });
      return { sandboxLost: isIncompatible(error) ? 'runner_incompatible' : 'sandbox_lost' } as const;
    });
    // It was closed meanwhile, or this control plane is stopping and leaves it to the next one.
    if (!this.#isOpen(session)) return;
    if (remains.sandboxLost) owners.leave(sandbox);
    this.#settle(session, saved, remains);
  }

  #settle(session: Session, saved: SavedSession, remains: Omit<Remains, 'contexts'>): void {
    session.recover({ contexts: saved.contexts ?? [], ...remains });
    session.lifetime.touch(new Date(saved.last_used_at));
    for (const { outcome, ended } of session.background.list()) {
      if (outcome) continue;
      const held = session.use();
      void ended.then(() => held[Symbol.dispose]());
    }
    this.#options.log.info(remains.sandboxLost ? 'adopted a session without its sandbox' : 'adopted a session', {
      session: session.id,
      owner: session.owner,
    });
  }

  #isOpen(session: Session): boolean {
    return this.#options.registry.has(session);
  }

  async #enter(record: ArchiveRecord): Promise<Session> {
    const { host, owners, registry } = this.#options;
    const identity = {
      ...{ id: record.session_id, owner: record.owner, createdAt: new Date(record.created_at) },
      webPatterns: record.web,
    };
    registry.checkFree(identity.owner, identity.id);
    const session = new Session(identity, host, { record });
    session.lifetime.touch(new Date(record.saved_at));
    registry.enter(session);
    try {
      await owners.create(session);
    } catch (error) {
      registry.remove(session);
      throw error;
    }
    return session;
  }
}

/** What is lost with a sandbox of which there is a checkpoint. */
function lostSince({ saved_at: restoredFrom }: ArchiveRecord): SandboxReset {
  return { reason: 'sandbox_lost', lost: ['files', 'contexts', 'background'], restoredFrom };
}

/** Returns what an earlier control plane left in a sandbox. @throws GloveboxError as `Sandbox.adopt` does */
async function runnerOf(sandbox: SandboxHandle): Promise<Pick<Remains, 'runnerState' | 'sandboxLost'>> {
  const runnerState: RunnerState | undefined = await sandbox.adopt();
  return { runnerState };
}
