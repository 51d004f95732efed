import type { z } from 'zod';
import type { Elicit } from '../approvals/approvals.ts';
import type { Display } from '../execution/displays.ts';
import type { ExecutionEvent, ProgressEvent, TextStream } from '../execution/result.ts';
import type { ClientTool, ToolCallEvent } from '../execution/tool-access.ts';
import type { Caller } from '../sessions/caller.ts';
import type { HeldExecution } from '../sessions/held-executions.ts';
import type { Sessions } from '../sessions/sessions.ts';
import type { Snapshots } from '../sessions/snapshots.ts';

/** Event of a running call. Texts are valid Unicode and consist of complete characters. */
export type ToolEvent =
  | { type: 'session'; session_id: string; session_created?: true }
  | { type: TextStream; text: string; bytes?: Uint8Array | undefined }
  | { type: 'display'; result: Display }
  | ToolCallEvent
  | ProgressEvent;

/** Converts an event of an execution to the form of the tools. */
export function toToolEvent(event: ExecutionEvent): ToolEvent {
  return event.type === 'display' ? { type: 'display', result: event.display } : event;
}

/** When the answer of a call need not wait for the end of its code, and what is told then. */
export interface Leaving {
  /** Milliseconds, from the begin of the code, after which the answer comes without its end. */
  readonly afterMs: number;
  /** Whether there is a task even if the code has ended by then. */
  readonly always: boolean;
  /** Resolves when the answer must come at once, because the code waits for what the caller does after it. */
  readonly sooner?: Promise<void> | undefined;
  /** Called before the answer when the execution goes on as a task. */
  left(executionId: string): void;
  /** Called when it cannot go on as a task, and the answer waits for its end. */
  stayed?(): void;
}

/** Everything that a tool may use. Add only what a tool needs. */
export interface ToolContext {
  readonly sessions: Sessions;
  readonly snapshots: Snapshots;
  readonly caller: Caller;
  /** Aborts when the caller cancels or goes away. */
  readonly signal: AbortSignal;
  /** Lets code go on after the answer, where the caller can follow it as a task. */
  readonly leaving?: Leaving;
  /** Standard input for the code of the call, where the caller streams it. */
  readonly stdin?: AsyncIterable<Uint8Array>;
  /** Whether events of output have bytes, for callers that write them to a file. */
  readonly asBytes?: boolean;
  /** Puts a question to the user of the client, if that can. */
  readonly elicit?: Elicit | undefined;
  /** Reports progress to the caller. If it returns a promise, the caller is slow and the program should wait. */
  emit(event: ToolEvent): void | Promise<void>;
}

/** Ignores events, for calls that nobody follows. */
export const ignoreEvents = (): void => {};

/**
 * Effect of a call, from which MCP's annotations derive. `adds`: it changes nothing that exists. `ends`: a second call has
 * no further effect.
 */
export type ToolEffect = 'reads' | 'adds' | 'changes' | 'ends';

/** Output of a tool, with the id of the session of the call, if it had one. */
export interface ToolOutput {
  readonly session_id?: string | undefined;
  readonly [field: string]: unknown;
}

/**
 * Definition of a tool, from which MCP, REST and the docs derive. `handle` gets input parsed by `input`, and returns what
 * `output` describes. It throws a GloveboxError when the tool fails.
 */
export interface Tool<
  Input extends { session_id?: string | undefined } = { session_id?: string },
  Output extends ToolOutput = ToolOutput,
> {
  readonly name: string;
  readonly title: string;
  /** Description for a model without other knowledge of Glovebox. */
  readonly description: string;
  readonly effect: ToolEffect;
  /** Whether it uses anything outside of the sandbox, such as a package index. */
  readonly reachesOut?: boolean;
  /** Whether it runs code whose standard input may be streamed. */
  readonly takesInput?: boolean;
  /** Whether its calls may be tasks: it then heeds `ToolContext.leaving`. */
  readonly maybeTask?: boolean;
  readonly input: z.ZodType<Input>;
  readonly output: z.ZodType<Output>;
  handle(input: Input, context: ToolContext): Promise<Output>;
  /** Does the same with tools of the caller's own, for which the caller comes back. Left out where no code is run. */
  hold?(input: Input, context: ToolContext, clientTools: readonly ClientTool[]): Promise<HeldExecution>;
  /** Returns the output as text, with everything in the structured form. */
  summarize(output: Output): string;
}
