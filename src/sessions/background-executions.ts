import { GloveboxError, toGloveboxError } from '../errors.ts';
import { toSeconds } from '../execution/stopwatch.ts';
import type { SavedExecution } from '../state/state.ts';
import {
  type BackgroundExecution,
  type BackgroundFacts,
  type BackgroundRun,
  FollowedExecution,
  type ReadsOutput,
} from './background-execution.ts';
import type { BackgroundRecord, BackgroundRecords } from './background-records.ts';
import { toRecordedAccess } from './grants/recorded-access.ts';
import { toSaved } from './lifecycle/saved-executions.ts';
import { fromRecordedResult, toRecordedResult } from './recorded-result.ts';

/** Number of ended executions of a session whose results are kept. */
const MAX_ENDED = 50;
/** Number of background executions of a session that may exist at once. Those without a place wait. */
const MAX_RUNNING = 32;

export interface BackgroundExecutionsOptions {
  /** Session that they run in. */
  readonly session: ReadsOutput;
  /** Records them for the next control plane. */
  readonly records?: BackgroundRecords;
  /** Called after each change. */
  readonly onChange?: () => void;
  /** Called when one has ended here, and not with this control plane. */
  readonly onEnd?: (execution: BackgroundExecution) => void;
}

/** Background executions of one session. They end with the session. */
export class BackgroundExecutions {
  readonly #executions = new Map<string, FollowedExecution>();
  /** Running executions that are still their callers'. */
  readonly #attached = new Set<FollowedExecution>();
  readonly #options: BackgroundExecutionsOptions;
  #abandoned = false;
  #isCancelled = false;

  constructor(options: BackgroundExecutionsOptions) {
    this.#options = options;
  }

  /** Latest time until which one of them may run. Undefined if none runs. */
  get busyUntil(): Date | undefined {
    const ends = this.list()
      .filter(({ outcome }) => !outcome)
      .map(({ begunAt, startedAt, timeoutMs }) => (begunAt ?? startedAt).getTime() + timeoutMs);
    return ends.length > 0 ? new Date(Math.max(...ends)) : undefined;
  }

  /** What another control plane needs to know of them, to go on with them. */
  get saved(): SavedExecution[] {
    return toSaved(this.list().map(toRecord));
  }

  get(id: string): BackgroundExecution | undefined {
    return this.#executions.get(id);
  }

  /** Lists the executions, the newest last. */
  list(): BackgroundExecution[] {
    return [...this.#executions.values()];
  }

  /** Starts an execution. @throws GloveboxError `session_busy` when too many run */
  start(
    id: string,
    run: BackgroundRun,
    about: Partial<Pick<BackgroundFacts, 'timeoutMs' | 'context' | 'program' | 'control' | 'access'>> = {},
  ): BackgroundExecution {
    if (this.#isFull) throw tooManyInBackground();
    this.#forgetOldest();
    const { timeoutMs = 0, ...others } = about;
    return this.#follow({ id, startedAt: new Date(), timeoutMs, ...others }, run);
  }

  /** Starts an execution that is its caller's, and in no list, until it is kept. */
  attach(
    id: string,
    run: BackgroundRun,
    about: Pick<BackgroundFacts, 'timeoutMs' | 'context' | 'program' | 'access'>,
  ): FollowedExecution {
    const execution = new FollowedExecution(this.#options.session, { id, startedAt: new Date(), ...about });
    this.#attached.add(execution);
    execution.follow(run, () => {
      if (this.#executions.has(id)) this.#record(execution);
    });
    void execution.ended.then(() => this.#attached.delete(execution));
    return execution;
  }

  /** Makes an attached execution a background execution that is a task. False if too many run. */
  keep(execution: FollowedExecution): boolean {
    if (this.#isFull) return false;
    this.#forgetOldest();
    execution.isTask = true;
    this.#executions.set(execution.id, execution);
    this.#attached.delete(execution);
    this.#record(execution);
    this.#tellEnd(execution);
    return true;
  }

  /** Takes over an execution of an earlier control plane. `run` follows it if it has not ended. */
  recover(
    record: BackgroundRecord,
    run: BackgroundRun,
    held: Pick<BackgroundFacts, 'access' | 'control'> = {},
  ): BackgroundExecution {
    const { begunAt, outcome, ...facts } = fromRecord(record);
    if (!outcome) return this.#follow({ ...facts, ...held }, run, begunAt);
    const execution = new FollowedExecution(this.#options.session, facts, { begunAt, outcome });
    this.#executions.set(execution.id, execution);
    return execution;
  }

  /** Records again what has changed of an execution, if there is one of that id. */
  record(id: string): void {
    const execution = this.#executions.get(id);
    if (execution) this.#record(execution);
  }

  /** Stops recording, because the next control plane takes over the executions. */
  abandon(): void {
    this.#abandoned = true;
  }

  cancelAll(): void {
    this.#isCancelled = true;
    for (const execution of [...this.#executions.values(), ...this.#attached]) execution.cancel();
  }

  get #isFull(): boolean {
    return this.list().filter(({ outcome }) => !outcome).length >= MAX_RUNNING;
  }

  #follow(facts: BackgroundFacts, run: BackgroundRun, begunAt?: Date): BackgroundExecution {
    const execution = new FollowedExecution(this.#options.session, facts, { begunAt });
    this.#executions.set(execution.id, execution);
    this.#record(execution);
    execution.follow(run, () => this.#record(execution));
    this.#tellEnd(execution);
    return execution;
  }

  #tellEnd(execution: FollowedExecution): void {
    void execution.ended.then(() => {
      if (!this.#abandoned || this.#isCancelled) this.#options.onEnd?.(execution);
    });
  }

  #record(execution: FollowedExecution): void {
    if (this.#abandoned) return;
    try {
      this.#options.records?.write(toRecord(execution));
    } catch {
      // With a full disk, the next control plane lacks this record. The execution itself continues.
    }
    this.#options.onChange?.();
  }

  #forgetOldest(): void {
    const ended = this.list().filter(({ outcome }) => outcome);
    for (const { id } of ended.slice(0, Math.max(0, ended.length - MAX_ENDED + 1))) {
      this.#executions.delete(id);
      this.#options.records?.remove(id);
    }
  }
}

export function tooManyInBackground(): GloveboxError {
  return new GloveboxError('session_busy', `${MAX_RUNNING} background executions run in this session.`, {
    hint: 'Wait for some of them, or cancel them.',
    restHint: 'Wait for some of them (GET /executions/{id}?wait_s=60), or cancel them (DELETE /executions/{id}).',
  });
}

type RecordedFacts = BackgroundFacts & Pick<BackgroundExecution, 'begunAt' | 'outcome'>;

export function toRecord(execution: RecordedFacts): BackgroundRecord {
  const { id, startedAt, timeoutMs, context, program, control, isTask, begunAt, outcome, access } = execution;
  return {
    id,
    started_at: startedAt.toISOString(),
    timeout_s: toSeconds(timeoutMs),
    ...(context === undefined ? {} : { context }),
    ...(program ?? {}),
    ...(isTask ? { task: true } : {}),
    ...(control?.input?.isOpen && !outcome ? { stdin_open: true } : {}),
    ...(begunAt ? { began_at: begunAt.toISOString() } : {}),
    ...(access && !outcome ? toRecordedAccess(access.recorded) : {}),
    ...(outcome && 'result' in outcome ? { result: toRecordedResult(outcome.result) } : {}),
    ...(outcome && 'error' in outcome ? { error: toGloveboxError(outcome.error).toBody() } : {}),
  };
}

export function fromRecord(record: BackgroundRecord): RecordedFacts {
  const { id, started_at, timeout_s, context, kind = 'code', code, task: isTask, began_at, result, error } = record;
  return {
    id,
    startedAt: new Date(started_at),
    timeoutMs: timeout_s * 1000,
    context,
    ...(code === undefined ? {} : { program: { kind, code } }),
    isTask,
    begunAt: began_at === undefined ? undefined : new Date(began_at),
    outcome: result
      ? { result: fromRecordedResult(result) }
      : error && { error: new GloveboxError(error.code, error.message, error) },
  };
}
