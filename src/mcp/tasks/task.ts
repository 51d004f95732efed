import type { CallToolResult, InputRequests, InputResponses } from '@modelcontextprotocol/server';
import type { Elicit } from '../../approvals/approvals.ts';
import type { Leaving } from '../../tools/tool.ts';

export type TaskStatus = 'working' | 'input_required' | 'completed' | 'failed' | 'cancelled';

/** State of a task, which each spelling of the protocol has in words of its own. */
export interface TaskState {
  readonly id: string;
  readonly status: TaskStatus;
  readonly message: string;
  readonly createdAt: Date;
  readonly updatedAt: Date;
  /** Milliseconds from its creation for which it is kept. */
  readonly ttlMs: number;
  /** Milliseconds that a client should wait before it asks again. */
  readonly pollMs: number;
  /** Whether the result of a completed task says that the tool has failed. */
  readonly isError?: true | undefined;
  /** Questions to the client that are not answered yet. */
  readonly inputRequests?: InputRequests | undefined;
}

/** What the call of a task would have answered: a result, or an error of the protocol. */
export type TaskOutcome =
  | { readonly result: CallToolResult }
  | { readonly error: { readonly code: number; readonly message: string } };

/** Who asks about tasks, in which version of the protocol. */
export interface TaskCaller {
  readonly owner: string;
  readonly protocolVersion: string | undefined;
  readonly signal: AbortSignal;
}

/** Where tasks come from. Each method rejects if the task is unknown, was forgotten, or has another owner. */
export interface TaskSource {
  get(caller: TaskCaller, id: string): Promise<TaskState>;
  /** The outcome of a task that is completed, failed or cancelled. */
  outcome(caller: TaskCaller, id: string): Promise<TaskOutcome>;
  /** Resolves when the task has ended, or what it asks for has changed. */
  next(caller: TaskCaller, id: string): Promise<void>;
  /** Asks for its end. Resolves when it has ended. Does nothing to a task that has. */
  cancel(caller: TaskCaller, id: string): Promise<void>;
  /** Answers questions. Answers to others are ignored. */
  answer(caller: TaskCaller, id: string, responses: InputResponses): Promise<void>;
  /** Puts a question of a task to the user of its client. Without it, tasks ask nothing. */
  readonly elicit?: Elicit;
  /** The newest last. */
  list(caller: TaskCaller): Promise<readonly TaskState[]>;
}

/** When a call becomes a task, and what is told of it after its answer. */
export interface TaskLeaving extends Leaving {
  /** Sends progress of the code after the answer. Left out where no progress is told then. */
  readonly progress?: (taskId: string, progress: number, message: string) => Promise<void>;
  /** Asks the user of the client in the course of the task. */
  readonly elicit?: Elicit | undefined;
  /** Resolves when the task has ended. */
  ended(taskId: string): Promise<void>;
}

export function isTerminal(status: TaskStatus): boolean {
  return status === 'completed' || status === 'failed' || status === 'cancelled';
}
