import type { ArchiveRecord } from '../../archives/record.ts';
import type { Log } from '../../log.ts';
import type { SandboxSource } from '../../sandbox/pool.ts';
import type { SharedSession, SharedState } from '../../state/state.ts';
import type { SessionHost } from '../session-host.ts';
import type { SessionAdoption } from './adoption.ts';
import { fromSaved } from './saved-executions.ts';

export interface TakeoverOptions {
  readonly state: () => SharedState;
  readonly host: SessionHost;
  readonly adoption: SessionAdoption;
  /** Gets the engine ready, once. */
  readonly prepare: () => Promise<SandboxSource>;
  readonly log: Log;
}

/** Takes over sessions that no control plane holds: one was released, or its holder is dead. */
export class Takeover {
  readonly #options: TakeoverOptions;

  constructor(options: TakeoverOptions) {
    this.#options = options;
  }

  /**
   * Claims a session and registers it. What runs in its sandbox is adopted with the first call.
   * @throws ClaimLost when another was faster; GloveboxError when it cannot be taken over now: then others may
   */
  async takeOver(session: SharedSession): Promise<void> {
    const { prepare, log } = this.#options;
    const pool = await prepare();
    const state = this.#options.state();
    const held = await state.claim(session);
    try {
      await this.#register(held, pool);
    } catch (error) {
      if (held.saved) await state.release(held, held.saved).catch(() => {});
      throw error;
    }
    const { owner, id, generation } = held;
    log.info('took over a session', { session: id, owner, generation });
  }

  async #register(held: SharedSession, pool: SandboxSource): Promise<void> {
    const { adoption } = this.#options;
    const { key, ref } = held.saved ?? {};
    const record = await this.#recordOf(held);
    const hasSandbox = key !== undefined && ref !== undefined && (await this.#options.state().keepSandbox(held));
    const sandbox = hasSandbox ? pool.reopen({ key, ref }) : undefined;
    const isAwake = key !== undefined && !record?.at_rest;
    const records = this.#options.host.recordsOf({ ...held });
    // They may be of an earlier time in which this control plane held the session.
    records.removeAll();
    const background = (held.saved?.background ?? []).map(fromSaved);
    // Nothing runs in a session that hibernates.
    for (const execution of background) if (isAwake || execution.result || execution.error) records.write(execution);
    if (isAwake) {
      return adoption.adopt(held, sandbox, record);
    }
    await adoption.adoptResting(held, record);
    // It was not filled completely, or was about to be removed.
    await sandbox?.remove().catch(() => {});
  }

  async #recordOf({ owner, id, saved }: SharedSession): Promise<ArchiveRecord | undefined> {
    if (saved?.archive === undefined) return undefined;
    const records = await this.#options.host.archives.store.records({ kind: 'session', owner });
    return records.find((record) => record.id === saved.archive && record.session_id === id);
  }
}
