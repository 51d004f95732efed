import { setTimeout as sleep } from 'node:timers/promises';
import type { Executor } from '../execution/request.ts';
import type { BackgroundStatus, ExecutionResult } from '../execution/result.ts';
import { SessionFiles } from '../files/session-files.ts';
import { type NewOutput, readNewOutput, type StreamOffsets } from './background-output.ts';

/** What came of it, or why it could not be run. */
export type BackgroundOutcome = { readonly result: ExecutionResult } | { readonly error: unknown };

/** A background execution as it is at one moment, with the output that is new from given offsets on. */
export interface BackgroundReading extends NewOutput {
  readonly sessionId: string;
  readonly executionId: string;
  readonly status: BackgroundStatus;
  readonly startedAt: Date;
  /** How long it has run until now, or ran in all. */
  readonly durationMs: number;
  /** How long it waited for its turn before that, if it had to. */
  readonly queuedMs?: number | undefined;
  /** Its result, once it has ended; the streams in it are as they came, from their beginning. */
  readonly result?: ExecutionResult | undefined;
}

/** What is known of one when it begins. */
export interface BackgroundFacts {
  readonly id: string;
  readonly startedAt: Date;
  /** Milliseconds that it may run, once its program is started. */
  readonly timeoutMs: number;
  /** The context that it runs in. */
  readonly context?: string | undefined;
}

/** The session that they run in, as far as reading their output goes. */
export interface ReadsOutput extends Executor {
  readonly id: string;
  /** `outputLimit`: bytes of each text stream that one reading has. */
  readonly limits: { readonly outputLimit: number };
}

/** How to run one; `onBegin` is called when its program is started. */
export type BackgroundRun = (signal: AbortSignal, onBegin: () => void) => Promise<ExecutionResult>;

/** An execution that goes on after the call that began it. */
export interface BackgroundExecution extends BackgroundFacts {
  /** When its program was started, having waited for its turn. */
  readonly begunAt: Date | undefined;
  readonly outcome: BackgroundOutcome | undefined;
  /** What it waits for or does, then what it ended as: `error` as well if it could not be run. */
  readonly status: BackgroundStatus;
  /** Settles, never rejects, when it has ended. */
  readonly ended: Promise<void>;
  /** Its result, once it has ended. Rejects with a GloveboxError when it could not be run. */
  readonly result: Promise<ExecutionResult>;
  /** Ends it; its result, with what it put out before, comes as at any end. */
  cancel(): void;
  /** Waits for its end, until the signal aborts or so many milliseconds are over. */
  wait(ms: number, signal?: AbortSignal): Promise<void>;
  /**
   * Reads what is new of its output, at most `output_limit` bytes of each stream, and how it is by now.
   * @param offsets bytes that are read already; 0 by default
   * @throws GloveboxError when it could not be run, or its session's files cannot be read now
   */
  read(offsets?: Partial<StreamOffsets>, signal?: AbortSignal): Promise<BackgroundReading>;
}

/** A background execution, for those that run it. */
export class FollowedExecution implements BackgroundExecution {
  readonly id: string;
  readonly startedAt: Date;
  readonly timeoutMs: number;
  readonly context: string | undefined;
  readonly #session: ReadsOutput;
  readonly #controller = new AbortController();
  readonly #work = Promise.withResolvers<void>();
  #begunAt: Date | undefined;
  #outcome: BackgroundOutcome | undefined;

  /** @param known of one that an earlier control plane began: when its program was started, and what came of it */
  constructor(
    session: ReadsOutput,
    { id, startedAt, timeoutMs, context }: BackgroundFacts,
    known: { readonly begunAt?: Date | undefined; readonly outcome?: BackgroundOutcome | undefined } = {},
  ) {
    this.#session = session;
    this.id = id;
    this.startedAt = startedAt;
    this.timeoutMs = timeoutMs;
    this.context = context;
    this.#begunAt = known.begunAt;
    this.#outcome = known.outcome;
    if (known.outcome) this.#work.resolve();
  }

  get begunAt(): Date | undefined {
    return this.#begunAt;
  }

  get outcome(): BackgroundOutcome | undefined {
    return this.#outcome;
  }

  get status(): BackgroundStatus {
    if (!this.#outcome) return this.#begunAt ? 'running' : 'queued';
    return 'result' in this.#outcome ? this.#outcome.result.status : 'error';
  }

  get ended(): Promise<void> {
    return this.#work.promise;
  }

  get result(): Promise<ExecutionResult> {
    return this.ended.then(() => {
      if (!this.#outcome || 'error' in this.#outcome) throw this.#outcome?.error;
      return this.#outcome.result;
    });
  }

  cancel(): void {
    this.#controller.abort();
  }

  async wait(ms: number, signal?: AbortSignal): Promise<void> {
    if (this.#outcome) return;
    const given = new AbortController();
    const signals = signal ? [signal, given.signal] : [given.signal];
    const patience = sleep(ms, undefined, { signal: AbortSignal.any(signals) }).catch(() => {});
    await Promise.race([this.ended, patience]);
    given.abort();
  }

  async read(
    offsets: Partial<StreamOffsets> = {},
    signal: AbortSignal = new AbortController().signal,
  ): Promise<BackgroundReading> {
    if (this.#outcome && 'error' in this.#outcome) throw this.#outcome.error;
    const { result } = this.#outcome ?? {};
    const known = result ?? { executionId: this.id, stdout: '', stderr: '', ...this.#progress() };
    const { executionId, status, durationMs, queuedMs } = known;
    const files = new SessionFiles(this.#session, signal);
    const output = await readNewOutput(files, known, offsets, this.#session.limits.outputLimit);
    return {
      ...{ sessionId: this.#session.id, executionId, status, startedAt: this.startedAt, durationMs },
      ...(queuedMs === undefined ? {} : { queuedMs }),
      ...output,
      ...(result ? { result } : {}),
    };
  }

  /** Runs it to its end. @param onChange hears when it begins and when it has ended; it does not throw */
  follow(run: BackgroundRun, onChange: () => void): void {
    const begin = () => {
      this.#begunAt = new Date();
      onChange();
    };
    const settle = (outcome: BackgroundOutcome) => {
      this.#outcome = outcome;
      onChange();
    };
    void run(this.#controller.signal, begin)
      .then((result) => settle({ result }))
      .catch((error: unknown) => settle({ error }))
      .then(this.#work.resolve);
  }

  #progress(): Pick<BackgroundReading, 'status' | 'durationMs' | 'queuedMs'> {
    const now = Date.now();
    const queuedMs = (this.#begunAt?.getTime() ?? now) - this.startedAt.getTime();
    return {
      status: this.status,
      durationMs: this.#begunAt ? now - this.#begunAt.getTime() : 0,
      ...(queuedMs > 0 ? { queuedMs } : {}),
    };
  }
}
