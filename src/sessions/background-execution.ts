import { setTimeout as sleep } from 'node:timers/promises';
import { GloveboxError } from '../errors.ts';
import type { ProgramHead } from '../execution/program.ts';
import type { Executor } from '../execution/request.ts';
import type { BackgroundStatus, ExecutionResult } from '../execution/result.ts';
import type { ToolCall } from '../execution/tool-access.ts';
import type { WebUse } from '../execution/web-summary.ts';
import { SessionFiles } from '../files/session-files.ts';
import { type NewOutput, readNewOutput, type StreamOffsets } from './background-output.ts';
import type { ExecutionAccess } from './grants/execution-access.ts';
import type { ProgramControl, SignalName } from './processes/program-control.ts';

/** Result of a background execution, or the reason why it could not run. */
export type BackgroundOutcome = { readonly result: ExecutionResult } | { readonly error: unknown };

export interface ReadOptions {
  /** Longest wait for its end, in milliseconds. */
  readonly waitMs?: number | undefined;
  readonly offsets?: Partial<StreamOffsets>;
  readonly signal: AbortSignal;
}

/** State of a background execution at one moment, with the output from given offsets. */
export interface BackgroundReading extends NewOutput {
  readonly sessionId: string;
  readonly executionId: string;
  readonly status: BackgroundStatus;
  readonly startedAt: Date;
  /** Milliseconds that it has run so far, or ran in total. */
  readonly durationMs: number;
  /** Milliseconds that it waited for its turn, if it had to. */
  readonly queuedMs?: number | undefined;
  /** Calls of tools that it has made so far. */
  readonly toolCalls: readonly ToolCall[];
  /** What it has done on other hosts so far. */
  readonly web?: WebUse | undefined;
  /** Result, once it has ended. Its streams contain every byte from the beginning. */
  readonly result?: ExecutionResult | undefined;
}

/** Properties of a background execution that are known when it begins. */
export interface BackgroundFacts {
  readonly id: string;
  readonly startedAt: Date;
  /** Time limit in milliseconds, from the start of its program. */
  readonly timeoutMs: number;
  /** Context that it runs in. */
  readonly context?: string | undefined;
  /** What it runs. Unknown of one that an earlier version began. */
  readonly program?: ProgramHead | undefined;
  /** What can be done to it while it runs. */
  readonly control?: ProgramControl | undefined;
  /** Its access to tools and other hosts. */
  readonly access?: Pick<ExecutionAccess, 'recorded' | 'calls' | 'web'> | undefined;
  /** Whether its caller follows it as a task of MCP. */
  readonly isTask?: true | undefined;
}

/** Part of a session that is needed to read output. */
export interface ReadsOutput extends Executor {
  readonly id: string;
  /** `outputLimit`: most bytes of each text stream in one reading. */
  readonly limits: { readonly outputLimit: number };
}

/** Function that runs an execution. It calls `onBegin` when the program has started. */
export type BackgroundRun = (signal: AbortSignal, onBegin: () => void) => Promise<ExecutionResult>;

/** Execution that continues after the call that began it. */
export interface BackgroundExecution extends BackgroundFacts {
  /** Time when its program was started, after the wait for its turn. */
  readonly begunAt: Date | undefined;
  readonly outcome: BackgroundOutcome | undefined;
  /** Current state; after its end, the status of its result. `error` also if it could not run. */
  readonly status: BackgroundStatus;
  /** Resolves when it has ended; never rejects. */
  readonly ended: Promise<void>;
  /** Result, once it has ended. Rejects with a GloveboxError if it could not run. */
  readonly result: Promise<ExecutionResult>;
  /** Its result in the form that a call has. Unknown of an execution that ended without this control plane. */
  readonly called: ExecutionResult | undefined;
  /** Cancels it. Its result contains the output so far. */
  cancel(): void;
  /** Adds to its standard input. @throws GloveboxError `invalid_input` if that is not open, `session_busy` if it does not read */
  write(text: string): void;
  /** Lets it find the end of its standard input. */
  closeInput(): void;
  /** Sends a signal to its process group. @throws GloveboxError `invalid_input` unless it runs */
  signal(name: SignalName): void;
  /** Waits for its end, but at most `ms` milliseconds, or until the signal aborts. */
  wait(ms: number, signal?: AbortSignal): Promise<void>;
  /**
   * Reads its state and new output, at most `output_limit` bytes of each stream.
   * @param offsets number of bytes read already; 0 by default
   * @throws GloveboxError when it could not run, or its output cannot be read now
   */
  read(offsets?: Partial<StreamOffsets>, signal?: AbortSignal): Promise<BackgroundReading>;
}

/** Background execution, as seen by the code that runs it. */
export class FollowedExecution implements BackgroundExecution {
  readonly id: string;
  readonly startedAt: Date;
  readonly timeoutMs: number;
  readonly context: string | undefined;
  readonly program: ProgramHead | undefined;
  readonly control: ProgramControl | undefined;
  readonly access: BackgroundFacts['access'];
  isTask: true | undefined;
  /** Its result in the form that a call has, once it has ended. */
  called: ExecutionResult | undefined;
  readonly #session: ReadsOutput;
  readonly #controller = new AbortController();
  readonly #work = Promise.withResolvers<void>();
  #begunAt: Date | undefined;
  #outcome: BackgroundOutcome | undefined;
  #onChange: () => void = () => {};

  /** @param known start time and outcome of an execution that an earlier control plane began */
  constructor(
    session: ReadsOutput,
    { id, startedAt, timeoutMs, context, program, control, access, isTask }: BackgroundFacts,
    known: { readonly begunAt?: Date | undefined; readonly outcome?: BackgroundOutcome | undefined } = {},
  ) {
    this.#session = session;
    this.id = id;
    this.startedAt = startedAt;
    this.timeoutMs = timeoutMs;
    this.context = context;
    this.program = program;
    this.control = control;
    this.access = access;
    this.isTask = isTask;
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

  write(text: string): void {
    demandControl(this).write(text);
  }

  closeInput(): void {
    if (!demandControl(this).input?.isOpen) return;
    this.control?.input?.close();
    this.#onChange();
  }

  signal(name: SignalName): void {
    if (this.context !== undefined) throw endsContext(this.context);
    demandControl(this).signal(name);
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
      toolCalls: result?.toolCalls ?? this.access?.calls ?? [],
      web: result ? result.web : this.access?.web,
      ...(result ? { result } : {}),
    };
  }

  /** Runs it to its end. @param onChange called when it begins and when it has ended; must not throw */
  follow(run: BackgroundRun, onChange: () => void): void {
    this.#onChange = onChange;
    const begin = () => {
      this.#begunAt = new Date();
      onChange();
    };
    const settle = (outcome: BackgroundOutcome) => {
      this.control?.end();
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

/** @throws GloveboxError `invalid_input` for one whose program nobody can reach */
function demandControl({ control, outcome }: FollowedExecution): ProgramControl {
  if (control) return control;
  throw new GloveboxError('invalid_input', `The execution ${outcome ? 'has ended' : "is still its caller's"}.`, {
    hint: 'list_processes tells what runs in the background.',
  });
}

function endsContext(name: string): GloveboxError {
  return new GloveboxError('invalid_input', `A signal would end the context ${name} with all that it has.`, {
    hint: 'Cancel the execution instead, which interrupts it. Or send a signal to a process by its number: kill, in a command.',
  });
}
