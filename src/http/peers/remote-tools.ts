import { randomUUID } from 'node:crypto';
import { GloveboxError, sayBegun } from '../../errors.ts';
import { readServerEvents } from '../../lib/sockets/server-events.ts';
import { endUnknown, type PeerClient } from '../../peers/client.ts';
import { DEFAULT_NAME } from '../../sessions/names.ts';
import type { AnyTool } from '../../tools/description.ts';
import type { ToolContext, ToolEvent, ToolOutput } from '../../tools/tool.ts';
import type { Place } from './find-place.ts';
import type { Forwarding } from './forwarding.ts';
import { type ErrorEvent, GivenUp, toError, wasGivenUp } from './given-up.ts';
import { MERGED, merge } from './merge.ts';
import { answerQuestion, QUESTION } from './remote-questions.ts';
import type { CallRules, Subject } from './subject.ts';

/** Times that a call is tried, while other servers claim the session that it is about. */
const MOST_ATTEMPTS = 2;
/** Time in milliseconds for the result of a call that was cancelled. */
const CANCEL_MS = 10_000;

interface RemoteToolsOptions {
  /** Resolves once the group is joined. */
  readonly joined: () => Promise<{ readonly forwarding: Forwarding; readonly client: PeerClient }>;
  readonly rules: CallRules;
}

/**
 * Makes tools whose calls are served where their sessions are held: for connections of MCP, which stay with one control
 * plane while each of their calls may be about another session.
 */
export function forwardTools(tools: readonly AnyTool[], options: RemoteToolsOptions): readonly AnyTool[] {
  return tools.map((tool) => (tool.name === 'list_sessions' ? listOfAll(tool, options) : forwardTool(tool, options)));
}

function forwardTool(tool: AnyTool, { joined, rules }: RemoteToolsOptions): AnyTool {
  const known = rules.argumentsOf(tool.name) ?? new Set();
  if (!known.has('session_id') && !known.has('execution_id')) return tool;
  return {
    ...tool,
    handle: async (input, context) => {
      const subject = subjectOfCall(input, context);
      if (!subject) return await tool.handle(input, context);
      const { forwarding, client } = await joined();
      const seek = { owner: context.caller.owner, subject, begins: false };
      for (let attempt = 1; ; attempt += 1) {
        const answered = await forwarding.serve(seek, context.signal, async (place) => {
          if (context.leaving?.always) throw noTask();
          return await callAt(place, client, tool, { ...input, ...sessionOf(subject, known) }, context);
        });
        if (answered !== undefined) {
          bind(input, context, answered);
          return answered;
        }
        try {
          return await tool.handle(input, context);
        } catch (error) {
          // Another server was faster to claim the session, and nothing of the call was done.
          if (!wasGivenUp(error) || attempt === MOST_ATTEMPTS) throw error;
        }
      }
    },
  };
}

/** The session that the call would lease here, or its execution. Undefined for a call that makes a session. */
function subjectOfCall(input: { session_id?: string | undefined }, { caller }: ToolContext): Subject | undefined {
  if ('execution_id' in input && typeof input.execution_id === 'string')
    return { kind: 'execution', id: input.execution_id };
  const { sessionHeader, binding, fallback } = caller;
  const known = input.session_id ?? sessionHeader ?? binding?.sessionId;
  const id = known ?? (fallback === 'owner' ? DEFAULT_NAME : undefined);
  return id === undefined ? undefined : { kind: 'session', id };
}

function sessionOf({ kind, id }: Subject, known: ReadonlySet<string>): { session_id?: string } {
  return kind === 'session' && known.has('session_id') ? { session_id: id } : {};
}

/** Later calls of the connection use the session, as they do after a call that is served here. */
function bind(input: { session_id?: string | undefined }, { caller }: ToolContext, { session_id }: ToolOutput): void {
  const { binding, sessionHeader } = caller;
  if (!binding || session_id === undefined) return;
  if (binding.sessionId === undefined || (input.session_id ?? sessionHeader) === undefined)
    binding.sessionId = session_id;
}

/** Calls a tool at another control plane, and passes on what happens. */
async function callAt(
  { peer, session }: Place,
  client: PeerClient,
  tool: AnyTool,
  input: object,
  context: ToolContext,
): Promise<ToolOutput> {
  const { caller, signal } = context;
  const { owner } = caller;
  const asks = context.elicit ? true : undefined;
  const forwarded = { owner, usesTools: true, asks, ...(session === undefined ? {} : { session }) } as const;
  const key = randomUUID();
  const headers = { 'content-type': 'application/json', 'idempotency-key': key };
  const body = JSON.stringify({ name: tool.name, arguments: input });
  const over = new AbortController();
  const path = context.asBytes ? '/execute/stream?bytes=1' : '/execute/stream';
  const send = (method: string, at: string, sent?: string) =>
    client.send(peer, { method, path: at, headers, forwarded, body: sent, signal: over.signal });
  const leave = () => over.abort(signal.reason);
  signal.addEventListener('abort', leave, { once: true });
  const answer = await send('POST', path, body).finally(() => signal.removeEventListener('abort', leave));
  const cancel = () => {
    setTimeout(() => over.abort(signal.reason), CANCEL_MS).unref();
    void send('DELETE', '/execute/stream').then(
      (cancelled) => cancelled.resume(),
      () => {},
    );
  };
  if (signal.aborted) cancel();
  else signal.addEventListener('abort', cancel, { once: true });
  const ended = new AbortController();
  const ask = (question: object) => {
    if (context.elicit) void answerQuestion(question, context.elicit, { peer, client, owner, signal: ended.signal });
  };
  try {
    return await follow(answer, context, ask);
  } finally {
    ended.abort();
    signal.removeEventListener('abort', cancel);
  }
}

async function follow(
  answer: AsyncIterable<Uint8Array> & { statusCode?: number | undefined },
  context: ToolContext,
  ask: (question: object) => void,
): Promise<ToolOutput> {
  try {
    if (answer.statusCode !== 200) throw toFailure(await readJson(answer));
    for await (const { event, data } of readServerEvents(answer)) {
      const parsed = JSON.parse(data) as Record<string, unknown>;
      if (event === 'result') return parsed['result'] as ToolOutput;
      if (event === 'error') throw toFailure(parsed);
      if (event === QUESTION) ask(parsed);
      else await context.emit(toEvent(event, parsed));
    }
  } catch (error) {
    if (error instanceof GloveboxError || error instanceof GivenUp) throw error;
    if (context.signal.aborted) throw sayBegun(context.signal.reason, true);
    throw endUnknown(error);
  }
  throw endUnknown();
}

function toEvent(type: string, { base64, ...data }: Record<string, unknown>): ToolEvent {
  const bytes = typeof base64 === 'string' ? Buffer.from(base64, 'base64') : undefined;
  return { type, ...data, ...(bytes ? { text: bytes.toString(), bytes } : {}) } as ToolEvent;
}

async function readJson(answer: AsyncIterable<Uint8Array>): Promise<Record<string, unknown>> {
  const pieces: Uint8Array[] = [];
  for await (const piece of answer) pieces.push(piece);
  return JSON.parse(Buffer.concat(pieces).toString()) as Record<string, unknown>;
}

/** What a call that failed there rejects with. */
function toFailure(answer: Record<string, unknown>): Error {
  const told = answer as unknown as ErrorEvent;
  const error = toError(told);
  return told.given_up || wasGivenUp(error) ? new GivenUp(error) : error;
}

function noTask(): GloveboxError {
  return new GloveboxError(
    'invalid_input',
    'The session of this call is held by another server, where it cannot become a task.',
    {
      hint: 'Call the tool without asking for a task, or begin code with execute_python and background.',
    },
  );
}

/** A session as REST lists it. */
interface Listed {
  readonly last_used_at: string;
  readonly owner?: unknown;
  readonly usage?: unknown;
}

/** `list_sessions` over all control planes. */
function listOfAll(tool: AnyTool, { joined }: RemoteToolsOptions): AnyTool {
  const merged = MERGED.get('/sessions');
  if (!merged) return tool;
  return {
    ...tool,
    handle: async (input, context) => {
      const own = await tool.handle(input, context);
      const { forwarding } = await joined();
      const others = await forwarding.gather('/sessions', { owner: context.caller.owner }, context.signal);
      if (others.length === 0) return own;
      const { sessions } = merge(merged, [own, ...others]) as { sessions: Listed[] };
      const listed = sessions.map(({ owner: _, usage: __, ...session }) => session);
      return { sessions: listed.sort((a, b) => b.last_used_at.localeCompare(a.last_used_at)) };
    },
  };
}
