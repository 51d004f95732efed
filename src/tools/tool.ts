import type { z } from 'zod';
import type { Display } from '../execution/displays.ts';
import type { ExecutionEvent, ProgressEvent, TextStream } from '../execution/result.ts';
import type { Caller } from '../sessions/caller.ts';
import type { Sessions } from '../sessions/sessions.ts';
import type { Snapshots } from '../sessions/snapshots.ts';

/** What a call says while it runs. Texts are whole characters of valid Unicode. */
export type ToolEvent =
  | { type: 'session'; session_id: string; session_created?: true }
  | { type: TextStream; text: string }
  | { type: 'display'; result: Display }
  | ProgressEvent;

/** What an execution says, in the words of the tools. */
export function toToolEvent(event: ExecutionEvent): ToolEvent {
  return event.type === 'display' ? { type: 'display', result: event.display } : event;
}

/** All that a tool may use of the world. Only add what a tool uses. */
export interface ToolContext {
  readonly sessions: Sessions;
  readonly snapshots: Snapshots;
  readonly caller: Caller;
  /** Aborts when the caller cancels or goes away. */
  readonly signal: AbortSignal;
  /** Tells the caller of progress; a promise means that the caller is slow and the program should wait. */
  emit(event: ToolEvent): void | Promise<void>;
}

/** For calls that nobody follows: spares the work of telling. */
export const ignoreEvents = (): void => {};

/**
 * What a call does to what is there: MCP's annotations derive from it. One that `adds` leaves all of that as it was;
 * one that `ends` something does no more when it is called again.
 */
export type ToolEffect = 'reads' | 'adds' | 'changes' | 'ends';

/** Names the session that a call was in, if it was in one. */
export interface ToolOutput {
  readonly session_id?: string | undefined;
  readonly [field: string]: unknown;
}

/**
 * One tool: MCP, REST and the docs all derive from this object.
 * `handle` gets input that `input` has parsed and answers with what `output` describes;
 * it throws a GloveboxError when the tool cannot do its job.
 */
export interface Tool<
  Input extends { session_id?: string | undefined } = { session_id?: string },
  Output extends ToolOutput = ToolOutput,
> {
  readonly name: string;
  readonly title: string;
  /** Written for a model that reads it cold. */
  readonly description: string;
  readonly effect: ToolEffect;
  /** Whether it reaches what is beyond the sandbox, as a package index is. */
  readonly reachesOut?: boolean;
  readonly input: z.ZodType<Input>;
  readonly output: z.ZodType<Output>;
  handle(input: Input, context: ToolContext): Promise<Output>;
  /** The output as text, with all that the structured form says. */
  summarize(output: Output): string;
}
