import { GloveboxError } from '../errors.ts';

/** Ended jobs of a session whose results are kept. */
const MAX_ENDED = 50;
/** Jobs of a session that may run at once; more than its places would only wait. */
const MAX_RUNNING = 32;

/** An execution that goes on after the call that began it. */
export interface Job {
  readonly id: string;
  readonly startedAt: Date;
  /** Settles, never rejects, when it has ended. */
  readonly ended: Promise<void>;
  readonly outcome: JobOutcome | undefined;
  cancel(): void;
}

/** What came of it: the tool's output, or why it could not be run. */
export type JobOutcome = { readonly result: Record<string, unknown> } | { readonly error: unknown };

/** The background executions of one session; its end ends them. */
export class Jobs {
  readonly #jobs = new Map<string, Job>();

  get(id: string): Job | undefined {
    return this.#jobs.get(id);
  }

  list(): Job[] {
    return [...this.#jobs.values()];
  }

  /** @throws GloveboxError `session_busy` when too many run. */
  start(id: string, run: (signal: AbortSignal) => Promise<Record<string, unknown>>): Job {
    const running = this.list().filter(({ outcome }) => !outcome);
    if (running.length >= MAX_RUNNING) {
      throw new GloveboxError('session_busy', `${MAX_RUNNING} background executions run in this session.`, {
        hint: 'Wait for some of them, or cancel them.',
      });
    }
    this.#forgetOldest();
    const controller = new AbortController();
    let outcome: JobOutcome | undefined;
    const ended = run(controller.signal).then(
      (result) => {
        outcome = { result };
      },
      (error: unknown) => {
        outcome = { error };
      },
    );
    const job: Job = {
      id,
      startedAt: new Date(),
      ended,
      get outcome() {
        return outcome;
      },
      cancel: () => controller.abort(),
    };
    this.#jobs.set(id, job);
    return job;
  }

  cancelAll(): void {
    for (const job of this.#jobs.values()) job.cancel();
  }

  #forgetOldest(): void {
    const ended = this.list().filter(({ outcome }) => outcome);
    for (const { id } of ended.slice(0, Math.max(0, ended.length - MAX_ENDED + 1))) this.#jobs.delete(id);
  }
}
