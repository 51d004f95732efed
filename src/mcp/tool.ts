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
import { ignoreEvents, type ToolOutput } from '../tools/tool.ts';
import { validateInput } from '../tools/validate.ts';
import { toAnswer } from './call-result.ts';
import { type Connection, sessionInAddress } from './connection.ts';
import { ProgressFeed } from './progress.ts';

/** A tool as MCP lists and calls it. */
export interface McpTool {
  readonly listed: ListedTool;
  call(
    args: Record<string, unknown> | undefined,
    context: ServerContext,
    connection: Connection,
    protocolVersion?: string,
  ): Promise<CallToolResult | InputRequiredResult>;
}

/** What a call gets that names no session, and whose connection has none yet: a new one, or its owner's `default`. */
export interface Fallback {
  /** Of a connection that goes on with the session it gets. */
  readonly connection: 'new' | 'owner';
  /** Of a request that stands alone, as those of 2026-07-28 do. */
  readonly request: 'new' | 'owner';
}

/** What calls need of the world around them. */
export interface CallWorld {
  readonly sessions: Sessions;
  readonly snapshots: Snapshots;
  readonly fallback: Fallback;
  readonly log: Log;
  /** Whether the client of this HTTP request reads more slowly than we write. */
  isSlow(request: Request | undefined): boolean;
}

/** Where a failed call's `{code, message, hint}` is: a client may check `structuredContent` against the output schema. */
const ERROR_META_KEY = 'glovebox/error';

export function toMcpTool(tool: AnyTool, world: CallWorld): McpTool {
  return {
    listed: describeTool(tool) as ListedTool,
    call: async (args, context, connection, protocolVersion) => {
      try {
        const output = await callTool(tool, args, context, connection, world);
        return toAnswer({ ...output }, tool.summarize(output), protocolVersion);
      } catch (thrown) {
        const error = toGloveboxError(thrown);
        if (error.code === 'internal_error') {
          // A call may fail in any way once its client has gone: no defect of ours.
          const level = context.mcpReq.signal.aborted ? 'debug' : 'error';
          world.log[level]('A tool call failed.', { owner: connection.owner, tool: tool.name, cause: error.cause });
        }
        return failure(error);
      }
    },
  };
}

async function callTool(
  tool: AnyTool,
  args: Record<string, unknown> | undefined,
  { mcpReq, http }: ServerContext,
  connection: Connection,
  world: CallWorld,
): Promise<ToolOutput> {
  const input = validateInput(tool, args);
  const sessionHeader = namedSession(connection, http?.req, input.session_id);
  const progress = openProgress(mcpReq, () => world.isSlow(http?.req));
  using following = followSignal(mcpReq.signal);
  connection.running += 1;
  try {
    const output = await tool.handle(input, {
      sessions: world.sessions,
      snapshots: world.snapshots,
      caller: {
        owner: connection.owner,
        fallback: connection.binding ? world.fallback.connection : world.fallback.request,
        ...(sessionHeader ? { sessionHeader } : {}),
        ...(connection.binding ? { binding: connection.binding } : {}),
      },
      signal: following.signal,
      emit: progress ? (event) => progress.emit(event) : ignoreEvents,
    });
    if (!following.signal.aborted) await progress?.flush();
    return output;
  } finally {
    connection.running -= 1;
    progress?.stop();
  }
}

/**
 * The session that the client's configuration names, in the address or in a header.
 * @throws GloveboxError `invalid_input` when address, header and argument do not agree: one of them would be passed over
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
    `The address of this server names the session ${quote(address)}, and the ${where} ${quote(other)}.`,
    { hint: 'Leave out session_id, or have the client connect without ?session= in the address.' },
  );
}

function quote(id: string): string {
  return JSON.stringify(id.slice(0, 80));
}

function openProgress(mcpReq: ServerContext['mcpReq'], isSlow: () => boolean): ProgressFeed | undefined {
  const progressToken = mcpReq._meta?.progressToken;
  if (progressToken === undefined) return undefined;
  return new ProgressFeed({
    isSlow,
    send: (progress, message) =>
      mcpReq.notify({ method: 'notifications/progress', params: { progressToken, progress, message } }),
  });
}

/** A result rather than a protocol error: models read it and correct themselves. */
function failure(error: GloveboxError): CallToolResult {
  const body = error.toBody();
  return {
    isError: true,
    content: [{ type: 'text', text: `${body.message}\n${body.hint}` }],
    _meta: { [ERROR_META_KEY]: body },
  };
}
