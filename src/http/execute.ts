import type { Context } from 'hono';
import { streamSSE } from 'hono/streaming';
import { GloveboxError } from '../errors.ts';
import type { Log } from '../log.ts';
import { nearest } from '../nearest.ts';
import type { Caller } from '../sandbox/caller.ts';
import type { Sessions } from '../sandbox/sessions.ts';
import { followSignal } from '../tools/call-signal.ts';
import type { AnyTool } from '../tools/description.ts';
import { readArguments } from '../tools/normalize-input.ts';
import { ignoreEvents, type ToolEvent } from '../tools/tool.ts';
import { validateInput } from '../tools/validate.ts';
import type { Env, Handler } from './env.ts';
import { parseJsonObject } from './json.ts';
import { reportError } from './respond.ts';

export interface ExecuteOptions {
  readonly tools: readonly AnyTool[];
  readonly sessions: Sessions;
  /** What a call gets that names no session. */
  readonly fallback: Caller['fallback'];
  /** Cancels all calls, so that they are answered before the server ends. */
  readonly stopping: AbortSignal;
  readonly log: Log;
  readonly keepAliveMs: number;
}

/** A call of a tool that has been checked and can begin. */
interface Call {
  run(emit: (event: ToolEvent) => void | Promise<void>): Promise<Record<string, unknown>>;
}

const FIELDS = ['name', 'arguments', 'session_id'];
const EXAMPLE = '{"name": "execute_python", "arguments": {"code": "print(1)"}}';

/** `POST /execute`: the tool's output as one JSON answer. A client that goes away cancels the call. */
export function createExecute(options: ExecuteOptions): Handler {
  return async (c) => c.json(await prepare(c, options).run(ignoreEvents));
}

/**
 * `POST /execute/stream`: events as they happen, then one `result` or `error`.
 * A slow reader slows the program down; one that goes away cancels it.
 */
export function createExecuteStream(options: ExecuteOptions): Handler {
  return (c) => {
    const call = prepare(c, options);
    c.header('X-Accel-Buffering', 'no');
    const response = streamSSE(c, async (stream) => {
      const write = (event: string, data: unknown) => stream.writeSSE({ event, data: JSON.stringify(data) });
      const keepAlive = setInterval(() => void stream.write(': keepalive\n\n'), options.keepAliveMs);
      try {
        await write('result', await call.run(({ type, ...data }) => write(type, data)));
      } catch (thrown) {
        const error = reportError(thrown, c, options.log);
        await write('error', { error: error.toRestBody() });
      } finally {
        clearInterval(keepAlive);
      }
    });
    response.headers.delete('connection'); // Hono keeps it open even for a client that waits for its end.
    return response;
  };
}

function prepare(c: Context<Env>, { tools, sessions, fallback, stopping }: ExecuteOptions): Call {
  const body = parseJsonObject(c.var.body, FIELDS, EXAMPLE);
  const tool = findTool(body['name'], tools);
  const input = validateInput(tool, withSession(body));
  const sessionHeader = c.req.header('x-session-id');
  const caller: Caller = { owner: c.var.owner, fallback, ...(sessionHeader ? { sessionHeader } : {}) };
  return {
    run: async (emit) => {
      using following = followSignal(c.req.raw.signal, stopping);
      const result = await tool.handle(input, { sessions, caller, signal: following.signal, emit });
      return { name: tool.name, session_id: result.session_id, result };
    },
  };
}

function findTool(name: unknown, tools: readonly AnyTool[]): AnyTool {
  const names = tools.map((tool) => tool.name).join(', ');
  if (typeof name !== 'string') {
    throw new GloveboxError('invalid_input', 'The field "name" must be the name of a tool.', {
      hint: `Tools: ${names}.`,
    });
  }
  const tool = tools.find((candidate) => candidate.name === name);
  if (tool) return tool;
  const short = name.slice(0, 64);
  const meant = nearest(
    short,
    tools.map((candidate) => candidate.name),
  );
  throw new GloveboxError('not_found', `There is no tool ${JSON.stringify(short)}.`, {
    hint: `${meant ? `Did you mean "${meant}"? ` : ''}Tools: ${names}.`,
  });
}

/** The arguments with the session that stands beside them; the one among them goes first. */
function withSession({ arguments: sent, session_id: beside }: Record<string, unknown>): unknown {
  const args = readArguments(sent);
  if (beside === undefined || beside === null || beside === '') return args;
  if (typeof args !== 'object' || args === null || Array.isArray(args)) return args;
  const { session_id: inside } = args as Record<string, unknown>;
  return inside === undefined || inside === null || inside === '' ? { ...args, session_id: beside } : args;
}
