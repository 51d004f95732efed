import { headOf, type Program, type ProgramHead } from '../execution/program.ts';
import type { BackgroundStatus, ExecutionResult } from '../execution/result.ts';
import type { SessionIdentity } from './identity.ts';

/** What is kept of one execution, so that its owner can look back at it. */
export interface RecentExecution extends ProgramHead {
  readonly id: string;
  readonly sessionId: string;
  readonly startedAt: Date;
  readonly isBackground: boolean;
  readonly context?: string | undefined;
  /** State; after its end, the status of its result. `error` also if it could not run. */
  readonly status: BackgroundStatus;
  /** The result, once it has ended. Of its texts, the end is kept. */
  readonly end?: RecentEnd | undefined;
}

interface RecentEnd extends Pick<ExecutionResult, 'durationMs' | 'queuedMs' | 'cpuMs' | 'peakMemoryBytes'> {
  readonly stdout: string;
  readonly stderr: string;
  /** Last line of its exception, or why it could not run. */
  readonly error?: string | undefined;
}

/** What the executions of a session have used since this control plane started. */
export interface SessionUsage {
  readonly cpuMs: number;
  readonly peakMemoryBytes: number;
}

/** Follows one execution. */
export interface ExecutionRecorder {
  begun(): void;
  ended(result: ExecutionResult): void;
  failed(error: unknown): void;
}

interface Beginning extends Pick<RecentExecution, 'id' | 'isBackground' | 'context'> {
  readonly program: Program;
}

/** Executions that are kept for each owner, and of all owners together. */
const MOST_PER_OWNER = 100;
const MOST = 2000;
/** Characters that are kept of code, and of each stream. */
const CODE_LENGTH = 1000;
const TEXT_LENGTH = 2000;
const ERROR_LENGTH = 300;

/** The last executions of all owners, in memory. */
export class RecentExecutions {
  /** The oldest first. */
  readonly #all = new Map<string, RecentExecution & { readonly owner: string }>();
  readonly #counts = new Map<string, number>();
  /** By session, so that it goes with its session. */
  readonly #usage = new WeakMap<object, SessionUsage>();

  begin(
    session: Pick<SessionIdentity, 'id' | 'owner'>,
    { id, isBackground, context, program }: Beginning,
  ): ExecutionRecorder {
    const { owner, id: sessionId } = session;
    const about = { id, sessionId, owner, isBackground, context, startedAt: new Date() };
    const known = { ...about, ...headOf(program, CODE_LENGTH) };
    this.#makeRoom(owner);
    this.#all.set(id, { ...known, status: 'queued' });
    this.#counts.set(owner, this.#countOf(owner) + 1);
    const change = (changed: Pick<RecentExecution, 'status' | 'end'>) => {
      const before = this.#all.get(id);
      if (before) this.#all.set(id, { ...before, ...changed });
    };
    return {
      begun: () => change({ status: 'running' }),
      ended: (result) => {
        this.#use(session, result);
        change({ status: result.status, end: endOf(result) });
      },
      failed: (error) => {
        const said = head(error instanceof Error ? error.message : String(error), ERROR_LENGTH);
        change({ status: 'error', end: { durationMs: 0, stdout: '', stderr: '', error: said } });
      },
    };
  }

  /** Notes that the execution of a call goes on in the background. */
  leave(id: string): void {
    const execution = this.#all.get(id);
    if (execution) this.#all.set(id, { ...execution, isBackground: true });
  }

  /** The last executions of an owner, the newest first. */
  of(owner: string): RecentExecution[] {
    return [...this.#all.values()].filter((execution) => execution.owner === owner).reverse();
  }

  usageOf(session: object): SessionUsage {
    return this.#usage.get(session) ?? { cpuMs: 0, peakMemoryBytes: 0 };
  }

  #use(session: object, { cpuMs = 0, peakMemoryBytes = 0 }: ExecutionResult): void {
    const before = this.usageOf(session);
    this.#usage.set(session, {
      cpuMs: before.cpuMs + cpuMs,
      peakMemoryBytes: Math.max(before.peakMemoryBytes, peakMemoryBytes),
    });
  }

  #makeRoom(owner: string): void {
    if (this.#countOf(owner) >= MOST_PER_OWNER) {
      const oldest = [...this.#all.values()].find((execution) => execution.owner === owner);
      if (oldest) this.#remove(oldest);
    }
    const [oldest] = this.#all.values();
    if (oldest && this.#all.size >= MOST) this.#remove(oldest);
  }

  #remove({ id, owner }: { readonly id: string; readonly owner: string }): void {
    this.#all.delete(id);
    const left = this.#countOf(owner) - 1;
    if (left > 0) this.#counts.set(owner, left);
    else this.#counts.delete(owner);
  }

  #countOf(owner: string): number {
    return this.#counts.get(owner) ?? 0;
  }
}

function endOf({ durationMs, queuedMs, cpuMs, peakMemoryBytes, stdout, stderr, error }: ExecutionResult): RecentEnd {
  return {
    ...{ durationMs, queuedMs, cpuMs, peakMemoryBytes },
    stdout: tail(stdout),
    stderr: tail(stderr),
    ...(error ? { error: head(`${error.name}: ${error.value}`, ERROR_LENGTH) } : {}),
  };
}

function head(text: string, length: number): string {
  return text.length <= length ? text : copyOf(text.slice(0, length));
}

function tail(text: string): string {
  return text.length <= TEXT_LENGTH ? text : copyOf(text.slice(-TEXT_LENGTH));
}

/** A part of a string keeps the whole of it in memory. */
function copyOf(part: string): string {
  return Buffer.from(part.toWellFormed()).toString();
}
