import { GloveboxError } from '../errors.ts';
import type { ExecutionStatus } from '../execution/request.ts';
import { type BackgroundRecord, type BackgroundRecords, fromRecord, toRecord } from './background-records.ts';

/** Ended jobs of a session whose results are kept. */
const MAX_ENDED = 50;
/** Jobs of a session that may run at once; more than its places would only wait. */
const MAX_RUNNING = 32;

/** An execution that goes on after the call that began it. */
export interface BackgroundExecution {
  readonly id: string;
  readonly startedAt: Date;
  /** Seconds that it may run, if that is known. */
  readonly timeoutS: number;
  readonly context?: string | undefined;
  /** When its program was started, having waited for its turn. */
  readonly begunAt: Date | undefined;
  /** Settles, never rejects, when it has ended. */
  readonly ended: Promise<void>;
  readonly outcome: BackgroundOutcome | undefined;
  cancel(): void;
}

/** What came of it: the tool's output, or why it could not be run. */
export type BackgroundOutcome = { readonly result: Record<string, unknown> } | { readonly error: unknown };

export type BackgroundStatus = 'queued' | 'running' | ExecutionStatus;

/** What it waits for or does, then what it ended as: `error` as well if it could not be run. */
export function statusOf({ begunAt, outcome }: Pick<BackgroundExecution, 'begunAt' | 'outcome'>): BackgroundStatus {
  if (!outcome) return begunAt ? 'running' : 'queued';
  return 'result' in outcome ? (outcome.result['status'] as ExecutionStatus) : 'error';
}

/** How to run a job; `onBegin` is called when its program is started. */
type Run = (signal: AbortSignal, onBegin: () => void) => Promise<Record<string, unknown>>;

export interface BackgroundExecutionsOptions {
  /** Where they are noted for the next control plane. */
  readonly records?: BackgroundRecords;
  /** Hears of each change. */
  readonly onChange?: () => void;
}

/** The background executions of one session; its end ends them. */
export class BackgroundExecutions {
  readonly #background = new Map<string, BackgroundExecution>();
  readonly #options: BackgroundExecutionsOptions;
  #abandoned = false;

  constructor(options: BackgroundExecutionsOptions = {}) {
    this.#options = options;
  }

  /** Until when one of them may run; undefined when none does. */
  get busyUntil(): Date | undefined {
    const ends = this.list()
      .filter(({ outcome }) => !outcome)
      .map(({ begunAt, startedAt, timeoutS }) => (begunAt ?? startedAt).getTime() + timeoutS * 1000);
    return ends.length > 0 ? new Date(Math.max(...ends)) : undefined;
  }

  get(id: string): BackgroundExecution | undefined {
    return this.#background.get(id);
  }

  list(): BackgroundExecution[] {
    return [...this.#background.values()];
  }

  /** @throws GloveboxError `session_busy` when too many run. */
  start(
    id: string,
    run: Run,
    about: { readonly timeoutS?: number; readonly context?: string | undefined } = {},
  ): BackgroundExecution {
    const running = this.list().filter(({ outcome }) => !outcome);
    if (running.length >= MAX_RUNNING) {
      throw new GloveboxError('session_busy', `${MAX_RUNNING} background executions run in this session.`, {
        hint: 'Wait for some of them, or cancel them.',
        restHint: 'Wait for some of them (GET /executions/{id}?wait_s=60), or cancel them (DELETE /executions/{id}).',
      });
    }
    this.#forgetOldest();
    return this.#follow({ id, startedAt: new Date(), timeoutS: about.timeoutS ?? 0, context: about.context }, run);
  }

  /** Takes over one that an earlier control plane began; `run` follows one that has not ended. */
  restore(record: BackgroundRecord, run: Run): BackgroundExecution {
    const { begunAt, outcome, ...about } = fromRecord(record);
    if (!outcome) return this.#follow(about, run, begunAt);
    const job: BackgroundExecution = { ...about, begunAt, outcome, ended: Promise.resolve(), cancel: () => {} };
    this.#background.set(job.id, job);
    return job;
  }

  #follow(
    about: Pick<BackgroundExecution, 'id' | 'startedAt' | 'timeoutS' | 'context'>,
    run: Run,
    begunAt?: Date,
  ): BackgroundExecution {
    const controller = new AbortController();
    const state: { outcome?: BackgroundOutcome; begunAt?: Date } = begunAt ? { begunAt } : {};
    const settle = (outcome: BackgroundOutcome) => {
      state.outcome = outcome;
      this.#note(job);
    };
    const work = Promise.withResolvers<void>();
    const job: BackgroundExecution = {
      ...about,
      ended: work.promise,
      get begunAt() {
        return state.begunAt;
      },
      get outcome() {
        return state.outcome;
      },
      cancel: () => controller.abort(),
    };
    this.#background.set(job.id, job);
    const begin = () => {
      state.begunAt = new Date();
      this.#note(job);
    };
    this.#note(job);
    void run(controller.signal, begin)
      .then((result) => settle({ result }))
      .catch((error: unknown) => settle({ error }))
      .then(work.resolve);
    return job;
  }

  /** Notes nothing any more: what they come to is for the next control plane to see. */
  abandon(): void {
    this.#abandoned = true;
  }

  #note(job: BackgroundExecution): void {
    if (this.#abandoned) return;
    try {
      this.#options.records?.write(toRecord(job));
    } catch {
      // A full disk costs the next control plane this note; the job itself goes on.
    }
    this.#options.onChange?.();
  }

  cancelAll(): void {
    for (const job of this.#background.values()) job.cancel();
  }

  #forgetOldest(): void {
    const ended = this.list().filter(({ outcome }) => outcome);
    for (const { id } of ended.slice(0, Math.max(0, ended.length - MAX_ENDED + 1))) {
      this.#background.delete(id);
      this.#options.records?.remove(id);
    }
  }
}
