import type {
  CallToolResult,
  InputRequiredResult,
  Tool as ListedTool,
  ServerContext,
} from '@modelcontextprotocol/server';
import { GloveboxError, toGloveboxError } from '../errors.ts';
import { followSignal } from '../lib/follow-signal.ts';
import type { Log } from '../log.ts';
import type { Sessions } from '../sessions/sessions.ts';
import type { Snapshots } from '../sessions/snapshots.ts';
import { type AnyTool, describeTool } from '../tools/description.ts';
import { ignoreEvents, type Leaving, type ToolOutput } from '../tools/tool.ts';
import { validateInput } from '../tools/validate.ts';
import { CallProgress } from './call-progress.ts';
import { toAnswer, toFailure } from './call-result.ts';
import { type Connection, sessionInAddress } from './connection.ts';
import type { TaskLeaving } from './tasks/task.ts';

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
  /** Whether the client of an HTTP request reads more slowly than the server writes. */
  isSlow(request: Request | undefined): boolean;
}

interface OneCall {
  readonly connection: Connection;
  readonly leaving: TaskLeaving | undefined;
}

export function toMcpTool(tool: AnyTool, dependencies: CallDependencies): McpTool {
  return {
    listed: describeTool(tool) as ListedTool,
    maybeTask: tool.maybeTask,
    call: async (args, context, connection, protocolVersion, leaving) => {
      try {
        const output = await callTool(tool, args, context, { ...dependencies, connection, leaving });
        return toAnswer({ ...output }, tool.summarize(output), protocolVersion);
      } catch (thrown) {
        const error = toGloveboxError(thrown);
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
    },
  };
}

async function callTool(
  tool: AnyTool,
  args: Record<string, unknown> | undefined,
  { mcpReq, http }: ServerContext,
  { connection, leaving, ...dependencies }: CallDependencies & OneCall,
): Promise<ToolOutput> {
  const input = validateInput(tool, args);
  const sessionHeader = namedSession(connection, http?.req, input.session_id);
  const progress = CallProgress.of(mcpReq, () => dependencies.isSlow(http?.req), leaving);
  const following = followSignal(mcpReq.signal);
  connection.running += 1;
  try {
    const output = await tool.handle(input, {
      sessions: dependencies.sessions,
      snapshots: dependencies.snapshots,
      caller: {
        owner: connection.owner,
        fallback: connection.binding ? dependencies.fallback.connection : dependencies.fallback.request,
        ...(sessionHeader ? { sessionHeader } : {}),
        ...(connection.binding ? { binding: connection.binding } : {}),
      },
      signal: following.signal,
      emit: progress ? (event) => progress.emit(event) : ignoreEvents,
      ...(leaving && { leaving: tellingOf(leaving, progress) }),
    });
    if (!following.signal.aborted) await progress?.flush();
    return output;
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
