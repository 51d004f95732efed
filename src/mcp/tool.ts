import {
  type CallToolResult,
  type ClientCapabilities,
  type InputRequiredResult,
  inputRequired,
  type Tool as ListedTool,
  type ServerContext,
} from '@modelcontextprotocol/server';
import { GloveboxError, toGloveboxError } from '../errors.ts';
import { followSignal } from '../lib/follow-signal.ts';
import type { Log } from '../log.ts';
import type { Sessions } from '../sessions/sessions.ts';
import type { Snapshots } from '../sessions/snapshots.ts';
import { tellStatus } from '../telemetry/tool-spans.ts';
import { type AnyTool, describeTool } from '../tools/description.ts';
import { ignoreEvents, type Leaving, type ToolEvent, type ToolOutput } from '../tools/tool.ts';
import { validateInput } from '../tools/validate.ts';
import { CallProgress } from './call-progress.ts';
import { toAnswer, toFailure } from './call-result.ts';
import { type Connection, sessionInAddress } from './connection.ts';
import { canElicit, decisionOf, elicitInCall, formOf } from './elicitation.ts';
import type { HeldCall, HeldCalls, RunCall } from './held-calls.ts';
import type { RequestStates } from './request-state.ts';
import type { TaskLeaving } from './tasks/task.ts';
import { traceMcpCall } from './traced-call.ts';

/** A tool as MCP lists and calls it. */
export interface McpTool {
  readonly listed: ListedTool;
  /** Whether its calls may be tasks. */
  readonly maybeTask?: boolean | undefined;
  call(
    args: Record<string, unknown> | undefined,
    context: ServerContext,
    connection: Connection,
    protocolVersion?: string,
    /** What the client has said that it can, when it connected. */
    capabilities?: ClientCapabilities,
    leaving?: TaskLeaving,
  ): Promise<CallToolResult | InputRequiredResult>;
}

/** The session of a call that names none, if its connection has none yet: a new one, or the owner's `default`. */
export interface Fallback {
  /** Session of a connection, whose later calls use it too. */
  readonly connection: 'new' | 'owner';
  /** Session of a single request, as in version 2026-07-28. */
  readonly request: 'new' | 'owner';
}

/** Dependencies of tool calls. */
export interface CallDependencies {
  readonly sessions: Sessions;
  readonly snapshots: Snapshots;
  readonly fallback: Fallback;
  readonly log: Log;
  /** Calls whose clients come back with answers of their users. */
  readonly held: HeldCalls;
  readonly states: RequestStates;
  /** Whether the client of an HTTP request reads more slowly than the server writes. */
  isSlow(request: Request | undefined): boolean;
}

/** One call of a tool, as it came. */
interface Call {
  readonly tool: AnyTool;
  readonly args: Record<string, unknown> | undefined;
  readonly context: ServerContext;
  readonly connection: Connection;
  readonly capabilities: ClientCapabilities | undefined;
  /** When it becomes a task, if it may. */
  readonly leaving: TaskLeaving | undefined;
}

export function toMcpTool(tool: AnyTool, dependencies: CallDependencies): McpTool {
  return {
    listed: describeTool(tool) as ListedTool,
    maybeTask: tool.maybeTask,
    call: (args, context, connection, protocolVersion, capabilities, leaving) =>
      traceMcpCall(tool, context, protocolVersion, async (span) => {
        try {
          const output = await callTool({ tool, args, context, connection, capabilities, leaving }, dependencies);
          if (isInputRequired(output)) return output;
          if (span) tellStatus(span, { ...output });
          return toAnswer({ ...output }, tool.summarize(output), protocolVersion);
        } catch (thrown) {
          const error = toGloveboxError(thrown);
          span?.fail(error);
          if (error.code === 'internal_error') {
            // Once its client has gone, a call may fail in any way. This is not a defect.
            const level = context.mcpReq.signal.aborted ? 'debug' : 'error';
            dependencies.log[level]('A tool call failed.', {
              owner: connection.owner,
              tool: tool.name,
              cause: error.cause,
            });
          }
          return toFailure(error);
        }
      }),
  };
}

function isInputRequired(output: ToolOutput | InputRequiredResult): output is InputRequiredResult {
  return 'resultType' in output && output['resultType'] === 'input_required';
}

async function callTool(call: Call, dependencies: CallDependencies): Promise<ToolOutput | InputRequiredResult> {
  const { tool, context, connection, capabilities, leaving } = call;
  const { held, states } = dependencies;
  const state = context.mcpReq.requestState();
  if (typeof state === 'string') {
    const known = held.get(await states.open(state, context), connection.owner, tool.name);
    for (const [id, answer] of Object.entries(context.mcpReq.inputResponses ?? {}))
      known.answer(id, decisionOf(answer));
    return await followHeld(known, call, dependencies);
  }
  const handle = prepare(call, dependencies);
  const mayAsk = tool.takesInput === true && canElicit(context, capabilities);
  if (leaving) {
    const elicit = mayAsk ? leaving.elicit : undefined;
    return await serveRequest(call, dependencies, (signal, emit, progress) =>
      handle(elicit, emit, signal, tellingOf(leaving, progress)),
    );
  }
  // A client of the newest protocol is asked by an answer to its call, after which it calls again.
  if (mayAsk && context.mcpReq.envelope) {
    return await followHeld(held.start(connection.owner, tool.name, handle), call, dependencies);
  }
  const elicit = mayAsk ? elicitInCall(context) : undefined;
  return await serveRequest(call, dependencies, (signal, emit) => handle(elicit, emit, signal));
}

/** Checks the input of a call. @throws GloveboxError `invalid_input` */
function prepare({ tool, args, context: { http }, connection }: Call, dependencies: CallDependencies) {
  const input = validateInput(tool, args);
  const sessionHeader = namedSession(connection, http?.req, input.session_id);
  const { sessions, snapshots, fallback } = dependencies;
  const caller = {
    owner: connection.owner,
    fallback: connection.binding ? fallback.connection : fallback.request,
    ...(sessionHeader ? { sessionHeader } : {}),
    ...(connection.binding ? { binding: connection.binding } : {}),
  };
  return (...[elicit, emit, signal, leaving]: [...Parameters<RunCall>, Leaving?]) =>
    tool.handle(input, { sessions, snapshots, caller, signal, emit, elicit, ...(leaving ? { leaving } : {}) });
}

/** Waits until a call has ended, or its client is to ask its user. */
async function followHeld(
  held: HeldCall,
  call: Call,
  dependencies: CallDependencies,
): Promise<ToolOutput | InputRequiredResult> {
  const next = await serveRequest(call, dependencies, (signal, emit) => held.next({ signal, emit }));
  if ('output' in next) return next.output;
  const inputRequests = Object.fromEntries(
    next.questions.map((question) => [question.id, inputRequired.elicit(formOf(question))]),
  );
  return inputRequired({ inputRequests, requestState: await dependencies.states.seal(held.id, call.context) });
}

/** Works for one request: tells its progress, and is cancelled with it. */
async function serveRequest<T>(
  { context: { mcpReq, http }, connection, leaving }: Call,
  dependencies: CallDependencies,
  work: (signal: AbortSignal, emit: (event: ToolEvent) => void, progress?: CallProgress) => Promise<T>,
): Promise<T> {
  const progress = CallProgress.of(mcpReq, () => dependencies.isSlow(http?.req), leaving);
  const following = followSignal(mcpReq.signal);
  connection.running += 1;
  try {
    const result = await work(following.signal, progress ? (event) => progress.emit(event) : ignoreEvents, progress);
    if (!following.signal.aborted) await progress?.flush();
    return result;
  } finally {
    connection.running -= 1;
    progress?.stop();
    following[Symbol.dispose]();
  }
}

/** Tells the progress of a call, too, that its code goes on as a task. */
function tellingOf(leaving: TaskLeaving, progress: CallProgress | undefined): Leaving {
  const left = (taskId: string) => {
    progress?.left(taskId);
    leaving.left(taskId);
  };
  return { ...leaving, left };
}

/**
 * The session that the client's configuration names, in the URL or in a header.
 * @throws GloveboxError `invalid_input` when the URL names another session than the header or the argument
 */
function namedSession(
  connection: Connection,
  request: Request | undefined,
  argument: string | undefined,
): string | undefined {
  const header = request?.headers.get('x-session-id') ?? undefined;
  const address = connection.addressed ?? sessionInAddress(request);
  if (address === undefined) return header;
  const other = argument ?? header;
  if (other === undefined || other === address) return address;
  const where = argument === undefined ? 'X-Session-Id header' : 'argument session_id';
  throw new GloveboxError(
    'invalid_input',
    `The URL of this server names the session ${quote(address)}, but the ${where} names ${quote(other)}.`,
    { hint: 'Leave out session_id, or let the client connect without ?session= in the URL.' },
  );
}

function quote(id: string): string {
  return JSON.stringify(id.slice(0, 80));
}
