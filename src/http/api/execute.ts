import type { Context } from 'hono';
import { GloveboxError } from '../../errors.ts';
import { followSignal } from '../../lib/follow-signal.ts';
import { nearest } from '../../lib/nearest.ts';
import type { Log } from '../../log.ts';
import type { Caller } from '../../sessions/caller.ts';
import type { Sessions } from '../../sessions/sessions.ts';
import type { Snapshots } from '../../sessions/snapshots.ts';
import type { AnyTool } from '../../tools/description.ts';
import { readArguments } from '../../tools/normalize-input.ts';
import { ignoreEvents, type ToolEvent } from '../../tools/tool.ts';
import { validateInput } from '../../tools/validate.ts';
import { EventStreams, type EventStreamsOptions, type StreamedCall } from '../event-streams.ts';
import { fingerprintOf, idempotencyKey } from '../idempotency.ts';
import { parseJsonObject } from '../json.ts';
import { reportError } from '../respond.ts';
import type { Env, Handler } from '../route.ts';
import { streamEvents } from '../server-sent-events.ts';

export interface ExecuteOptions {
  readonly tools: readonly AnyTool[];
  readonly sessions: Sessions;
  readonly snapshots: Snapshots;
  /** What a call gets that names no session. */
  readonly fallback: Caller['fallback'];
  /** Cancels all calls, so that they are answered before the server ends. */
  readonly stopping: AbortSignal;
  readonly log: Log;
  readonly keepAliveMs: number;
  readonly streams?: EventStreamsOptions;
}

/** A call of a tool that has been checked and can begin; it is cancelled by any of the signals. */
interface Call {
  run(
    emit: (event: ToolEvent) => void | Promise<void>,
    ...cancelled: readonly AbortSignal[]
  ): Promise<Record<string, unknown>>;
}

const FIELDS = ['name', 'arguments', 'session_id'];
const EXAMPLE = '{"name": "execute_python", "arguments": {"code": "print(1)"}}';

/** `POST /execute`: the tool's output as one JSON answer. A client that goes away cancels a call without a key. */
export function createExecute(options: ExecuteOptions): Handler {
  return async (c) => {
    // One that can be asked for again goes on without its client.
    const cancelled = c.req.header('idempotency-key') === undefined ? [c.req.raw.signal] : [];
    return c.json(await prepare(c, options).run(ignoreEvents, ...cancelled));
  };
}

/**
 * `POST /execute/stream`: events as they happen, then one `result` or `error`. A slow reader slows the program down; one
 * that goes away cancels it, unless it comes back soon with `Last-Event-ID`: it then gets what it missed.
 */
export function createExecuteStream(options: ExecuteOptions): Handler {
  const streams = new EventStreams(options.streams);
  return (c) => {
    const last = c.req.header('last-event-id');
    const { call, after } = last ? streams.resume(c.var.owner, last) : { call: find(c, options, streams), after: 0 };
    // An event source that has it all would come back for ever after any other answer.
    if (call.events.isAtEnd(after)) return c.body(null, 204);
    return streamEvents(c, options.keepAliveMs, async (send) => {
      using _held = streams.hold(call);
      for await (const { number, event, data } of call.events.read(after, c.req.raw.signal)) {
        await send(event, data, `${call.id}.${number}`);
      }
    });
  };
}

/** The call that came with this key before, to be told from its beginning; else a new one. */
function find(c: Context<Env>, options: ExecuteOptions, streams: EventStreams): StreamedCall {
  const key = idempotencyKey(c);
  if (key === undefined) return begin(c, options, streams);
  return streams.once(c.var.owner, key, fingerprintOf(c), () => begin(c, options, streams));
}

/** Starts a call whose events are written to a stream of their own. */
function begin(c: Context<Env>, options: ExecuteOptions, streams: EventStreams): StreamedCall {
  const checked = prepare(c, options);
  const call = streams.open(c.var.owner);
  const { events, signal } = call;
  const emit = ({ type, ...data }: ToolEvent) => events.write(type, JSON.stringify(data), signal);
  checked.run(emit, signal).then(
    (result) => events.end('result', JSON.stringify(result)),
    (thrown: unknown) =>
      events.end('error', JSON.stringify({ error: reportError(thrown, c, options.log).toRestBody() })),
  );
  return call;
}

function prepare(c: Context<Env>, { tools, sessions, snapshots, fallback, stopping }: ExecuteOptions): Call {
  const body = parseJsonObject(c.var.body, FIELDS, EXAMPLE);
  const tool = findTool(body['name'], tools);
  const input = validateInput(tool, withSession(body));
  const sessionHeader = c.req.header('x-session-id');
  const caller: Caller = { owner: c.var.owner, fallback, ...(sessionHeader ? { sessionHeader } : {}) };
  return {
    run: async (emit, ...cancelled) => {
      using following = followSignal(stopping, ...cancelled);
      const result = await tool.handle(input, { sessions, snapshots, caller, signal: following.signal, emit });
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
