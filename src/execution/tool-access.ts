import type { ApprovalChannels } from '../approvals/approvals.ts';
import type { ExecutionClock } from './execution-clock.ts';

/** A call of a tool by code, for those who look at a result: it has no arguments and no values. */
export interface ToolCall {
  /** Number of the call in its execution, from 1. */
  readonly n: number;
  /** Server and tool: `server.tool`. */
  readonly tool: string;
  /** Milliseconds that it took. */
  readonly ms: number;
  /** `ok`, or the code of its failure. */
  readonly status: string;
  /** Size of what the code got. */
  readonly bytes: number;
}

/** Begin or end of a call of a tool. */
export interface ToolCallEvent {
  readonly type: 'tool_call';
  readonly n: number;
  readonly tool: string;
  /** `begun`; at its end `ok`, or the code of its failure. */
  readonly status: string;
  /** Milliseconds that it took. */
  readonly ms?: number | undefined;
}

/** Names of a caller's own tools. */
export const CLIENT_TOOL_NAME = /^[A-Za-z_][A-Za-z0-9_.-]{0,63}$/;

/** A tool of the caller's own, which code calls as `tools.client.NAME`. */
export interface ClientTool {
  readonly name: string;
  readonly description?: string | undefined;
  /** JSON Schema of its arguments. Default: any. */
  readonly inputSchema?: Readonly<Record<string, unknown>> | undefined;
}

/** What a caller answers to a call of its own tool, or why it cannot. */
export type ClientToolAnswer =
  | { readonly value: unknown }
  | { readonly error: string }
  | { readonly refused: 'limit' | 'client_gone' };

/** The caller's own tools, and the way to it. */
export interface ClientTools {
  readonly tools: readonly ClientTool[];
  call(name: string, args: Readonly<Record<string, unknown>>, signal: AbortSignal): Promise<ClientToolAnswer>;
}

/** Execution that is to have access to tools. */
export interface ToolRequest {
  readonly owner: string;
  readonly sessionId: string;
  readonly executionId: string;
  /** Names of servers. Default: those that the owner has by default. */
  readonly servers?: readonly string[] | undefined;
  readonly clientTools?: ClientTools | undefined;
  /** Ways to a person that belong to this execution alone. */
  readonly approvals?: ApprovalChannels | undefined;
  /** Stands still while a person or the caller is asked. */
  readonly clock: ExecutionClock;
  /** Called when a call begins and ends. The call waits for a returned promise. */
  readonly onEvent?: ((event: ToolCallEvent) => void | Promise<void>) | undefined;
  /** Called when what is to be recorded of its grant has changed. */
  readonly onRecord?: (() => void) | undefined;
}

/** A grant as the next control plane needs it. It holds no token. */
export interface RecordedGrant {
  /** Hash of its token. */
  readonly hash: string;
  /** Its servers, each with the number of calls so far; rather more than less. */
  readonly servers: Readonly<Record<string, number>>;
}

/** Access to tools of one execution, which ends with it. */
export interface ToolGrant extends Disposable {
  /** Calls that have ended, in the order of their begin; at most 200. */
  readonly calls: readonly ToolCall[];
  readonly recorded: RecordedGrant;
}

/** What gives executions access to tools. */
export interface ToolAccess {
  /**
   * Opens a grant, with the token that the execution shows. Undefined if it is to have no tools.
   * @throws GloveboxError `invalid_input` for a server that its owner does not have
   */
  open(request: ToolRequest): (ToolGrant & { readonly token: string }) | undefined;
  /** Opens a grant of an earlier control plane again. */
  reopen(recorded: RecordedGrant, request: ToolRequest): ToolGrant;
}
