/** An object of JSON, such as the arguments of a tool or a schema. */
export type JsonObject = { readonly [name: string]: unknown };

/** Reason why a call of a tool failed, as the code that calls it sees it. */
export type ToolFailureCode =
  | 'denied'
  | 'approval_refused'
  | 'approval_unavailable'
  | 'limit'
  | 'timeout'
  | 'upstream'
  | 'bad_arguments'
  | 'client_gone';

export interface ToolFailureBody {
  readonly code: ToolFailureCode;
  readonly message: string;
  /** Next step. */
  readonly hint: string;
}

/** The only error that the broker throws on purpose. Its texts go into the sandbox, so they have no secrets. */
export class ToolFailure extends Error {
  readonly body: ToolFailureBody;

  constructor(code: ToolFailureCode, message: string, hint: string, options: { cause?: unknown } = {}) {
    super(message.toWellFormed(), options);
    this.name = 'ToolFailure';
    this.body = { code, message: this.message, hint: hint.toWellFormed() };
  }
}

export interface ToolServerSummary {
  readonly name: string;
  /** One line, from the file of the operator. Empty if that has none. */
  readonly description: string;
  /** Whether code that names no servers may use it. */
  readonly isDefault: boolean;
}

export interface UpstreamTool {
  /** Name by which the server itself knows the tool. */
  readonly name: string;
  /** Name in Python. */
  readonly python: string;
  readonly description: string;
  readonly inputSchema: JsonObject;
  readonly outputSchema?: JsonObject;
  /** Whether a call may change something, as far as the operator lets the server say. */
  readonly writes: boolean;
}

/** The tools of one server. */
export interface ServerCatalog {
  readonly name: string;
  readonly description: string;
  readonly tools: readonly UpstreamTool[];
  /** Why the tools are not known. */
  readonly error?: ToolFailureBody;
}

/** How a server is, for an operator. */
export interface ServerState {
  readonly name: string;
  readonly owners: readonly string[];
  /** Whether it has shared credentials. One with those of owners cannot be asked without an owner. */
  readonly isShared: boolean;
  /** Number of tools that may be called. */
  readonly tools?: number;
  /** Names of those that are not as they were when they were trusted. */
  readonly changed?: readonly string[];
  readonly error?: ToolFailureBody;
}

/** One part of what a tool answered. `data` is base64. */
export type ToolPart =
  | { readonly type: 'json'; readonly value: unknown }
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'file'; readonly name?: string; readonly mime: string; readonly data: string }
  | { readonly type: 'link'; readonly uri: string; readonly name?: string; readonly mime?: string };

/** What a tool answered. */
export interface ToolAnswer {
  readonly parts: readonly ToolPart[];
  /** Size of the parts as JSON. */
  readonly bytes: number;
}

/** Whose code calls a tool, and where it runs. */
export interface ToolCaller {
  readonly owner: string;
  readonly sessionId: string;
  readonly executionId: string;
}

/** What a person is asked before a call. */
export interface ToolQuestion {
  readonly server: string;
  readonly tool: string;
  readonly arguments: JsonObject;
  /** `always`: each call is asked for, and no earlier answer counts. */
  readonly mode: 'writes' | 'always';
  /** Whether the server has changed the tool since it was first seen. */
  readonly changed?: boolean;
}

/** Asks a person; see src/approvals. */
export type Approve = (
  question: ToolQuestion,
  signal: AbortSignal,
) => Promise<'once' | 'session' | 'refused' | 'timed_out' | 'unavailable'>;

export interface BrokerCall {
  readonly caller: ToolCaller;
  readonly server: string;
  /** Name by which the server itself knows the tool. */
  readonly tool: string;
  readonly arguments: JsonObject;
  readonly signal: AbortSignal;
  readonly approve: Approve;
}

/** The reading of a resource that a result has linked to. */
export interface BrokerRead {
  readonly caller: ToolCaller;
  readonly server: string;
  readonly uri: string;
  readonly signal: AbortSignal;
}

/** Limits of a server that are counted for each execution. */
export interface ExecutionToolLimits {
  /** Calls that one execution may make. */
  readonly maxCalls: number;
  /** Calls of one execution at once. */
  readonly maxConcurrent: number;
}
