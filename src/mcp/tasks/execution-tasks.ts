import type { CallToolResult, InputResponses } from '@modelcontextprotocol/server';
import { GloveboxError, toGloveboxError } from '../../errors.ts';
import { unlessAborted } from '../../lib/unless-aborted.ts';
import type { BackgroundExecution } from '../../sessions/background-execution.ts';
import type { Sessions } from '../../sessions/sessions.ts';
import { auditOperation, type OperationAudit } from '../../tools/audit/operation.ts';
import { summarizeExecution, toOutput } from '../../tools/execution-output.ts';
import { toReadingOutput } from '../../tools/get-execution.ts';
import { toAnswer, toFailure } from '../call-result.ts';
import type { TaskCaller, TaskOutcome, TaskSource, TaskState } from './task.ts';
import { TaskQuestions } from './task-questions.ts';

/** Time in milliseconds between two questions about a young and an old task, and the age that divides them. */
const POLL_YOUNG_MS = 1000;
const POLL_OLD_MS = 5000;
const OLD_MS = 60_000;
const EXECUTION_ID = /^exe_[A-Za-z0-9_-]{1,60}$/;

/** The sessions that have the executions. */
type TaskSessions = Pick<Sessions, 'tasks' | 'readBackground'>;

/** Executions as tasks: a task's id is that of its execution, and it lasts as any background execution does. */
export class ExecutionTasks implements TaskSource {
  readonly #sessions: TaskSessions;
  readonly #audit: OperationAudit | undefined;
  readonly #questions = new TaskQuestions();
  readonly elicit = this.#questions.elicit;

  constructor(sessions: TaskSessions, audit?: OperationAudit) {
    this.#sessions = sessions;
    this.#audit = audit;
  }

  async get(caller: TaskCaller, id: string): Promise<TaskState> {
    return this.#describe(await this.#find(caller, id));
  }

  async outcome(caller: TaskCaller, id: string): Promise<TaskOutcome> {
    const execution = await this.#find(caller, id);
    return { result: await this.#resultOf(execution, caller) };
  }

  async next(caller: TaskCaller, id: string): Promise<void> {
    const { changed } = this.#questions;
    const execution = await this.#find(caller, id);
    await unlessAborted(Promise.race([execution.ended, changed]), caller.signal);
  }

  async cancel(caller: TaskCaller, id: string): Promise<void> {
    const about = { owner: caller.owner, operation: 'tasks/cancel', execution: id };
    await auditOperation(this.#audit, about, async () => {
      const execution = await this.#find(caller, id);
      execution.cancel();
      await unlessAborted(execution.ended, caller.signal);
    });
  }

  async answer(caller: TaskCaller, id: string, responses: InputResponses): Promise<void> {
    await this.#find(caller, id);
    this.#questions.answer(id, responses);
  }

  async list({ owner, signal }: TaskCaller): Promise<readonly TaskState[]> {
    const tasks = await this.#sessions.tasks.list(owner, signal);
    return tasks.map((execution) => this.#describe(execution));
  }

  async #find({ owner, signal }: TaskCaller, id: string): Promise<BackgroundExecution> {
    if (EXECUTION_ID.test(id)) return await this.#sessions.tasks.get(owner, id, signal);
    throw new GloveboxError('execution_not_found', 'That is not the id of a task.');
  }

  /** The answer that the call would have had. */
  async #resultOf(execution: BackgroundExecution, caller: TaskCaller): Promise<CallToolResult> {
    const { outcome, called, id } = execution;
    if (outcome && 'error' in outcome) return toFailure(toGloveboxError(outcome.error));
    if (called) {
      const output = toOutput(called);
      return toAnswer({ ...output }, summarizeExecution(output), caller.protocolVersion);
    }
    // It ended without this control plane, so its output is only in its files.
    const reading = await this.#sessions.readBackground(caller.owner, id, { signal: caller.signal });
    const { started_at: _, next: __, ...output } = toReadingOutput(reading);
    return toAnswer(output, summarizeExecution(output), caller.protocolVersion);
  }

  #describe(execution: BackgroundExecution): TaskState {
    const { id, startedAt, begunAt, timeoutMs, outcome } = execution;
    const now = Date.now();
    const created = startedAt.getTime();
    const known = { id, createdAt: startedAt, pollMs: now - created < OLD_MS ? POLL_YOUNG_MS : POLL_OLD_MS };
    const keptMs = this.#sessions.tasks.retentionMs;
    if (!outcome) {
      const ttlMs = Math.max(now - created, timeoutMs) + keptMs;
      const inputRequests = this.#questions.of(id);
      if (inputRequests) {
        const message = 'Its code waits for an answer of a person.';
        return { ...known, status: 'input_required', message, updatedAt: new Date(now), ttlMs, inputRequests };
      }
      const message = begunAt ? `Running for ${seconds(now - begunAt.getTime())} s.` : 'Waiting for its turn.';
      return { ...known, status: 'working', message, updatedAt: begunAt ?? startedAt, ttlMs };
    }
    if ('error' in outcome) {
      const { message } = toGloveboxError(outcome.error);
      return { ...known, status: 'completed', isError: true, message, updatedAt: startedAt, ttlMs: keptMs };
    }
    const { status, durationMs, queuedMs = 0 } = outcome.result;
    const ranMs = Math.round(queuedMs + durationMs);
    const ended = { ...known, updatedAt: new Date(created + ranMs), ttlMs: ranMs + keptMs };
    if (status === 'cancelled') return { ...ended, status, message: `Cancelled after ${seconds(durationMs)} s.` };
    return { ...ended, status: 'completed', message: `Ended with status "${status}" after ${seconds(durationMs)} s.` };
  }
}

function seconds(ms: number): number {
  return Math.round(ms / 100) / 10;
}
