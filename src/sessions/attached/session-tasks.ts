import type { BackgroundExecution } from '../background-execution.ts';
import type { SessionLeases } from '../lifecycle/leases.ts';
import type { LifetimeLimits } from '../lifecycle/lifetime.ts';
import { type SessionRegistry, unknownExecution } from '../registry.ts';

/** Background executions that were begun as calls, and that their callers follow as tasks. */
export class SessionTasks {
  readonly #registry: Pick<SessionRegistry, 'of'>;
  readonly #leases: Pick<SessionLeases, 'findBackground' | 'getAdopted'>;
  /** Milliseconds for which the result of a task is kept after its end, if its session is not used again. */
  readonly retentionMs: number;

  constructor(
    registry: Pick<SessionRegistry, 'of'>,
    leases: Pick<SessionLeases, 'findBackground' | 'getAdopted'>,
    { idleTtlS }: Pick<LifetimeLimits, 'idleTtlS'>,
  ) {
    this.#registry = registry;
    this.#leases = leases;
    this.retentionMs = idleTtlS * 1000;
  }

  /** Whether a session that is held here has a background execution, a task or not. */
  hasExecution(owner: string, id: string): boolean {
    return this.#registry.of(owner).some(({ background, records }) => background.get(id) ?? records.has(id));
  }

  /**
   * Finds a task without waking its session.
   * @throws GloveboxError `execution_not_found` if it is unknown, forgotten, has another owner, or is no task
   */
  async get(owner: string, id: string, signal: AbortSignal): Promise<BackgroundExecution> {
    const { execution } = await this.#leases.findBackground(owner, id, { signal });
    if (execution.isTask) return execution;
    throw unknownExecution(id);
  }

  /** Lists the tasks of all sessions of an owner, the newest last. */
  async list(owner: string, signal: AbortSignal): Promise<BackgroundExecution[]> {
    const sessions = this.#registry.of(owner);
    // The tasks of a session that cannot be adopted now are not known.
    await Promise.allSettled(sessions.map(({ id }) => this.#leases.getAdopted(owner, id, { signal })));
    return sessions
      .flatMap(({ background }) => background.list().filter(({ isTask }) => isTask))
      .sort((a, b) => a.startedAt.getTime() - b.startedAt.getTime());
  }
}
