import type { Context } from 'hono';
import type { Elicit } from '../../approvals/approvals.ts';
import { type ErrorBody, GloveboxError } from '../../errors.ts';
import type { ClientTool } from '../../execution/tool-access.ts';
import { followSignal } from '../../lib/follow-signal.ts';
import { nearest } from '../../lib/nearest.ts';
import type { Log } from '../../log.ts';
import type { Caller } from '../../sessions/caller.ts';
import type { Sessions } from '../../sessions/sessions.ts';
import type { Snapshots } from '../../sessions/snapshots.ts';
import { tellStatus, traceTool } from '../../telemetry/tool-spans.ts';
import type { AnyTool } from '../../tools/description.ts';
import { readArguments } from '../../tools/normalize-input.ts';
import { ignoreEvents, type ToolEvent } from '../../tools/tool.ts';
import { validateInput } from '../../tools/validate.ts';
import { EventStreams, type EventStreamsOptions, type StreamedCall } from '../event-streams.ts';
import { beginOnce, type CallLedger, fingerprintOf, type IdempotencyKeys, idempotencyKey } from '../idempotency.ts';
import { parseJsonObject } from '../json.ts';
import { type ErrorEvent, isGivenUp, wasGivenUp } from '../peers/given-up.ts';
import { comesBeforeCall, eventsOf } from '../peers/next-attempt.ts';
import { askByEvents } from '../peers/remote-questions.ts';
import { isSet } from '../query.ts';
import { jsonAnswer, reportError } from '../respond.ts';
import type { Env, Handler, Route } from '../route.ts';
import { streamEvents } from '../server-sent-events.ts';
import { followHeld, parseClientTools } from './client-tools.ts';
import { streamRoutes } from './stream-routes.ts';

/** Calls that are kept by their idempotency keys. */
export interface KeptCalls {
  readonly streams: EventStreams;
  readonly keys: IdempotencyKeys;
  /** What other servers know of calls. */
  readonly ledger?: CallLedger;
}

export interface ExecuteOptions {
  readonly tools: readonly AnyTool[];
  readonly sessions: Sessions;
  readonly snapshots: Snapshots;
  /** Session of a call that names none: a new one, or the owner's default. */
  readonly fallback: Caller['fallback'];
  /** Cancels all calls when the server shuts down, so that they still get an answer. */
  readonly stopping: AbortSignal;
  /** Aborts when the server begins to shut down. */
  readonly closing: AbortSignal;
  readonly log: Log;
  readonly keepAliveMs: number;
  readonly streams?: EventStreamsOptions;
  /** Where calls are kept by their keys; default: in places of their own. */
  readonly kept?: KeptCalls | undefined;
}

/** A checked call of a tool. */
interface Call {
  readonly tool: AnyTool;
  /** Runs the call. Any of the signals cancels it. */
  run(follower: Follower, ...cancelled: readonly AbortSignal[]): Promise<Record<string, unknown>>;
}

interface Follower {
  readonly emit: (event: ToolEvent) => void | Promise<void>;
  readonly stdin?: AsyncIterable<Uint8Array> | undefined;
  /** Whether events of output have its bytes. */
  readonly asBytes?: boolean;
  /** Puts questions to the user of the caller. */
  readonly elicit?: Elicit | undefined;
  /** Called with what the code asks of its caller, who answers while the call goes on. Default: that is the answer. */
  readonly onWaiting?: (answer: object) => void | Promise<void>;
}

const FIELDS = ['name', 'arguments', 'session_id', 'client_tools'];
const EXAMPLE = '{"name": "execute_python", "arguments": {"code": "print(1)"}}';

/** `POST /execute`: answers with the tool's output as JSON. A call without an idempotency key ends with its client. */
export function createExecute(options: ExecuteOptions): Handler {
  return async (c) => {
    // A call with a key can be repeated to get its answer, so it goes on without its client.
    const cancelled = c.req.header('idempotency-key') === undefined ? [c.req.raw.signal] : [];
    return jsonAnswer(await prepare(c, options).run({ emit: ignoreEvents }, ...cancelled));
  };
}

/**
 * `POST /execute/stream`: sends events as they happen, then one `result` or `error`. A slow reader slows the program
 * down. When the reader disconnects, the call is cancelled, unless a request with `Last-Event-ID` follows soon. That
 * request gets the events that were missed.
 */
export function createExecuteStream(options: ExecuteOptions): {
  readonly handle: Handler;
  readonly routes: readonly Route[];
} {
  const streams = options.kept?.streams ?? new EventStreams(options.streams);
  const handle: Handler = (c) => {
    const last = c.req.header('last-event-id');
    const { call, after } = last
      ? streams.resume(c.get('owner'), last)
      : { call: findOrBegin(c, options, streams), after: 0 };
    // After any other answer, an event source that has all events would reconnect for ever.
    if (call.events.isAtEnd(after)) return c.body(null, 204);
    return streamEvents(c, options.keepAliveMs, async (send, sendAll) => {
      using _reader = streams.hold(call);
      for await (const { number, event, data } of call.events.read(after, c.req.raw.signal)) {
        const next = call.isGivenUp && event === 'error' ? await c.var.again?.() : undefined;
        if (next) {
          for await (const batch of eventsOf(next)) for (const events of batch) await sendAll(events);
          return;
        }
        await send(event, data, `${call.id}.${number}`);
      }
    });
  };
  return { handle, routes: streamRoutes(streams) };
}

/** Finds the call with the same idempotency key, or starts a new one. */
function findOrBegin(c: Context<Env>, options: ExecuteOptions, streams: EventStreams): StreamedCall {
  const key = idempotencyKey(c);
  if (key === undefined) return begin(c, options, streams);
  const owner = c.get('owner');
  const fingerprint = fingerprintOf(c);
  // The key of a call that another server forwards is that server's own, and used once.
  const ledger = c.env?.forwarded?.usesTools ? undefined : options.kept?.ledger;
  const once = <T>(work: () => Promise<T>) => beginOnce(ledger, { owner, key, fingerprint }, work);
  return streams.once(owner, key, fingerprint, () => begin(c, options, streams, once));
}

/** Starts a call that writes its events to a new stream. */
function begin(
  c: Context<Env>,
  options: ExecuteOptions,
  streams: EventStreams,
  once = <T>(work: () => Promise<T>) => work(),
): StreamedCall {
  const checked = prepare(c, options);
  const takesInput = isSet(c, 'stdin');
  if (takesInput) checkInput(c, checked.tool);
  const asBytes = isSet(c, 'bytes');
  const call = streams.open(c.get('owner'), takesInput);
  const { events, signal, input } = call;
  let isOpening = true;
  const emit = (event: ToolEvent) => {
    isOpening &&= comesBeforeCall(event.type);
    return events.write(event.type, JSON.stringify(dataOf(event)), signal);
  };
  const asks = c.env?.forwarded?.asks === true;
  const elicit = asks ? askByEvents((event, data) => events.write(event, data, signal)) : undefined;
  const onWaiting = (answer: object) => events.write('tool_call_required', JSON.stringify(answer), signal);
  once(() => checked.run({ emit, stdin: input, asBytes, onWaiting, elicit }, signal))
    .then(
      (result) => events.end('result', JSON.stringify(result)),
      (thrown: unknown) => {
        const error = reportError(thrown, c, options.log);
        const mayBegin = isOpening && mayBeginAgain(c, error, options.closing);
        if (mayBegin) streams.giveUp(call);
        const mark = mayBegin && c.env?.forwarded ? ({ given_up: true } as const) : {};
        const told: ErrorEvent = { error: bodyFor(c, error), ...mark };
        events.end('error', JSON.stringify(told));
      },
    )
    .finally(() => input?.close());
  return call;
}

/** Whether a call that failed may be begun once more: here or elsewhere, and elsewhere also because this server shuts down. */
function mayBeginAgain(c: Context<Env>, error: GloveboxError, closing: AbortSignal): boolean {
  return c.env?.forwarded ? isGivenUp(error, closing) : wasGivenUp(error);
}

/** The body of an error, with hints for the kind of caller that there is. */
function bodyFor(c: Context<Env>, error: GloveboxError): ErrorBody {
  return c.env?.forwarded?.usesTools ? error.toBody() : error.toRestBody();
}

/** The data of an event, of which JSON has bytes in base64. */
function dataOf({ type: _, ...data }: ToolEvent): object {
  return 'bytes' in data && data.bytes ? { base64: Buffer.from(data.bytes).toString('base64') } : data;
}

/** @throws GloveboxError `invalid_input` for a streamed input that nothing would read, or that could not be sent */
function checkInput(c: Context<Env>, { name, takesInput }: AnyTool): void {
  if (!takesInput) {
    throw new GloveboxError('invalid_input', `${name} has no standard input.`, { hint: 'Leave out ?stdin=1.' });
  }
  if (idempotencyKey(c) !== undefined) return;
  throw new GloveboxError('invalid_input', 'A call whose standard input is streamed has an Idempotency-Key.', {
    hint: 'Choose one, and send it with PUT /execute/stream/stdin as well.',
  });
}

function prepare(c: Context<Env>, { tools, sessions, snapshots, fallback, stopping }: ExecuteOptions): Call {
  const body = parseJsonObject(c.get('body'), FIELDS, EXAMPLE);
  const tool = findTool(body['name'], tools);
  const input = validateInput(tool, withSession(body));
  const clientTools = readClientTools(body['client_tools'], tool);
  const sessionHeader = c.req.header('x-session-id');
  const caller: Caller = { owner: c.get('owner'), fallback, ...(sessionHeader ? { sessionHeader } : {}) };
  return {
    tool,
    run: async ({ emit, stdin, asBytes = false, onWaiting, elicit }, ...cancelled) => {
      const following = followSignal(stopping, ...cancelled);
      try {
        const { signal } = following;
        const context = { sessions, snapshots, caller, signal, emit, asBytes, elicit, ...(stdin ? { stdin } : {}) };
        const result = await traceTool(tool.name, async (span) => {
          const output =
            clientTools && tool.hold
              ? await followHeld(await tool.hold(input, context, clientTools), signal, onWaiting)
              : await tool.handle(input, context);
          if (span) tellStatus(span, { ...output });
          return output;
        });
        return { name: tool.name, session_id: result.session_id, result };
      } finally {
        following[Symbol.dispose]();
      }
    },
  };
}

/** @throws GloveboxError `invalid_input`, also for a tool that runs no code */
function readClientTools(sent: unknown, tool: AnyTool): readonly ClientTool[] | undefined {
  if (sent === undefined || sent === null) return undefined;
  if (tool.hold) return parseClientTools(sent);
  throw new GloveboxError('invalid_input', `${tool.name} runs no code that could call tools.`, {
    hint: 'Leave out "client_tools". execute_python and run_command take them.',
  });
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

/** The arguments with the session id of the body. A session id among the arguments takes precedence. */
function withSession({ arguments: sent, session_id: outer }: Record<string, unknown>): unknown {
  const args = readArguments(sent);
  if (outer === undefined || outer === null || outer === '') return args;
  if (typeof args !== 'object' || args === null || Array.isArray(args)) return args;
  const { session_id: inner } = args as Record<string, unknown>;
  return inner === undefined || inner === null || inner === '' ? { ...args, session_id: outer } : args;
}
