import {
  type CallToolResult,
  type InputRequiredResult,
  type McpServer,
  ProtocolError,
  ProtocolErrorCode,
  RELATED_TASK_META_KEY,
  type ServerContext,
} from '@modelcontextprotocol/server';
import type { Connection } from '../connection.ts';
import type { McpTool } from '../tool.ts';
import { askLater } from './ask-later.ts';
import { NO_CONTENT } from './created-result.ts';
import * as experimental from './experimental.ts';
import * as extension from './extension.ts';
import { isTerminal, type TaskCaller, type TaskLeaving, type TaskSource } from './task.ts';

type Server = McpServer['server'];

/** Times of calls that may be tasks, in milliseconds. */
export interface TaskTimes {
  /** Time after which a call of a client that follows tasks is answered with one. */
  readonly inlineMs: number;
  /** Time for which the answer to a call that is a task in any case waits for its end. */
  readonly settleMs: number;
}

export const TASK_TIMES: TaskTimes = { inlineMs: 10_000, settleMs: 1000 };

/** How calls become tasks. */
export interface TaskCalls {
  readonly source: TaskSource;
  readonly times: TaskTimes;
}

interface Call {
  readonly server: Server;
  readonly tool: McpTool;
  readonly params: { readonly name: string; readonly arguments?: Record<string, unknown> | undefined };
  readonly context: ServerContext;
  readonly connection: Connection;
  /** Questions that the client of this server is being asked. */
  readonly underway: Set<string>;
}

/**
 * Calls a tool. Where the client can follow tasks, and the code of the call takes long, it is answered with a task; where
 * the client asks for a task, with a task at any rate.
 */
export async function callTool(
  { source, times }: TaskCalls,
  { server, tool, params, context, connection, underway }: Call,
): Promise<CallToolResult | InputRequiredResult> {
  const protocolVersion = server.getNegotiatedProtocolVersion();
  const asked = experimental.asksForTask(params, protocolVersion);
  if (asked && !tool.maybeTask && experimental.knowsTasks(server))
    throw new ProtocolError(ProtocolErrorCode.MethodNotFound, `${params.name} is not called as a task.`);
  const call = (leaving?: TaskLeaving) =>
    tool.call(params.arguments, context, connection, protocolVersion, server.getClientCapabilities(), leaving);
  const follows = extension.isModern(protocolVersion) && extension.followsTasks(context);
  if (!tool.maybeTask || !(asked || follows)) return await call();
  const caller: TaskCaller = { owner: connection.owner, protocolVersion, signal: context.mcpReq.signal };
  let taskId: string | undefined;
  const asking = askLater(source, asked ? { server, connection, underway } : undefined);
  const result = await call({
    ...asking,
    afterMs: asked ? times.settleMs : times.inlineMs,
    always: asked,
    left: (id) => {
      taskId = id;
      asking.decide(true);
      if (asked) void tellEnd(server, source, caller, id);
    },
    stayed: () => asking.decide(false),
    ended: (id) => untilEnded(source, caller, id).then(() => {}),
    ...(asked ? { progress: progressLater(server, context) } : {}),
  });
  if (taskId !== undefined) {
    const state = await source.get(caller, taskId);
    return { ...NO_CONTENT, ...(asked ? experimental.toCreated(state) : extension.toCreated(state)) };
  }
  // Without a task there is nothing that this client could follow.
  if (asked) throw refused(result);
  return result;
}

function refused(result: CallToolResult | InputRequiredResult): ProtocolError {
  const content = 'content' in result && Array.isArray(result.content) ? result.content : [];
  const text = content.map((part) => (part.type === 'text' ? part.text : '')).join('\n');
  return new ProtocolError(ProtocolErrorCode.InvalidParams, text || 'The call could not become a task.', result._meta);
}

/** Waits for the end of a task, whatever becomes of the request that began it. */
async function untilEnded(source: TaskSource, caller: TaskCaller, id: string) {
  const always = { ...caller, signal: new AbortController().signal };
  for (;;) {
    const state = await source.get(always, id);
    if (isTerminal(state.status)) return state;
    await source.next(always, id);
  }
}

/** Tells the client of the end of a task, where there is a way. Clients ask by themselves, too. */
async function tellEnd(server: Server, source: TaskSource, caller: TaskCaller, id: string): Promise<void> {
  try {
    const state = await untilEnded(source, caller, id);
    await server.notification({ method: 'notifications/tasks/status', params: experimental.toTask(state) });
  } catch {
    // The connection is gone, or the task with its session.
  }
}

/** Progress after the answer, whose stream is over. */
function progressLater(server: Server, { mcpReq }: ServerContext): NonNullable<TaskLeaving['progress']> {
  return async (taskId, progress, message) => {
    const progressToken = mcpReq._meta?.progressToken;
    if (progressToken === undefined) return;
    const related = { _meta: { [RELATED_TASK_META_KEY]: { taskId } } };
    await server.notification({
      method: 'notifications/progress',
      params: { progressToken, progress, message, ...related },
    });
  };
}
