import { parseJson } from '../../lib/json-input.ts';
import { tagIn } from '../../peers/tag.ts';
import { DEFAULT_NAME } from '../../sessions/names.ts';
import { readArguments } from '../../tools/normalize-input.ts';

/** What a request is about, by which it is found who serves it. */
export type Subject =
  | { readonly kind: 'session' | 'execution' | 'approval'; readonly id: string }
  /** An idempotency key, where there is no session. */
  | { readonly kind: 'idempotency_key'; readonly id: string }
  /** Something that only the control plane with this tag has. */
  | { readonly kind: 'tag'; readonly id: string };

/** The parts of a request that tell. */
export interface RoutedRequest {
  readonly method: string;
  readonly path: string;
  readonly body: string | undefined;
  header(name: string): string | undefined;
  query(name: string): string | undefined;
}

/** What the server makes of calls. */
export interface CallRules {
  /** Names of the arguments of a tool. Undefined if there is no such tool. */
  argumentsOf(tool: string): ReadonlySet<string> | undefined;
  /** Session of calls that name none, over REST and over MCP. */
  readonly fallback: { readonly rest: 'new' | 'owner'; readonly mcp: 'new' | 'owner' };
}

/** Characters of the id of a session or execution. */
const LONGEST_ID = 256;
const FILE_URI = /^glovebox:\/\/sessions\/([^/?#]+)\/files\//;
const TASK_METHODS: ReadonlySet<unknown> = new Set(['tasks/get', 'tasks/cancel', 'tasks/update', 'tasks/result']);

/**
 * Tells what a request is about. Undefined for one that any control plane may serve, and for one that is at fault: whoever
 * serves it says so.
 */
export function subjectOf(request: RoutedRequest, rules: CallRules): Subject | undefined {
  const { method, path } = request;
  const [, first, second, third] = path.split('/');
  switch (first) {
    case 'sessions':
      return second === undefined ? newSession(request) : named('session', decoded(second));
    case 'executions':
      return second === undefined ? undefined : named('execution', decoded(second));
    case 'approvals':
      return method === 'POST' && second !== undefined ? named('approval', decoded(second)) : undefined;
    case 'execute':
      if (method === 'POST' && third === undefined) return calledOverRest(request, rules);
      return keyOf(request);
    case 'mcp':
      return second === undefined ? sentOverMcp(request, rules) : undefined;
    case 'messages':
      return tagged(request.query('sessionId'));
    default:
      return method === 'POST' ? keyOf(request) : undefined;
  }
}

function newSession(request: RoutedRequest): Subject | undefined {
  if (request.method !== 'POST') return undefined;
  const { name } = objectIn(request.body);
  return named('session', textOf(name) ?? textOf(request.query('name'))) ?? keyOf(request);
}

function calledOverRest(request: RoutedRequest, rules: CallRules): Subject | undefined {
  const last = request.header('last-event-id');
  if (last) return tagged(last.replace(/\.\d+$/, ''));
  const { name, arguments: sent, session_id: outer } = objectIn(request.body);
  const header = request.header('x-session-id');
  const session = (inner: unknown) => textOf(inner) ?? textOf(outer) ?? textOf(header);
  return called({ name, sent, session, fallback: rules.fallback.rest }, rules) ?? keyOf(request);
}

function sentOverMcp(request: RoutedRequest, rules: CallRules): Subject | undefined {
  const connection = request.header('mcp-session-id');
  if (connection !== undefined) return tagged(connection);
  const { method, params } = objectIn(request.body);
  const { name, arguments: sent, requestState, taskId, uri } = asObject(params);
  if (typeof requestState === 'string') return tagged(requestState);
  if (TASK_METHODS.has(method)) return named('execution', textOf(taskId));
  if (method === 'resources/read') return named('session', decoded(FILE_URI.exec(textOf(uri) ?? '')?.[1]));
  if (method !== 'tools/call') return undefined;
  const outside = textOf(request.query('session')) ?? textOf(request.header('x-session-id'));
  return called({ name, sent, session: (inner) => textOf(inner) ?? outside, fallback: rules.fallback.mcp }, rules);
}

interface SentCall {
  readonly name: unknown;
  readonly sent: unknown;
  /** Returns the session that the call names, in its arguments or elsewhere. */
  readonly session: (inner: unknown) => string | undefined;
  readonly fallback: 'new' | 'owner';
}

function called({ name, sent, session, fallback }: SentCall, rules: CallRules): Subject | undefined {
  const known = typeof name === 'string' ? rules.argumentsOf(name) : undefined;
  const given = asObject(readArguments(sent));
  if (known?.has('execution_id')) return named('execution', textOf(given['execution_id']));
  if (!known?.has('session_id')) return undefined;
  return named('session', session(given['session_id']) ?? (fallback === 'owner' ? DEFAULT_NAME : undefined));
}

function keyOf(request: RoutedRequest): Subject | undefined {
  return named('idempotency_key', request.header('idempotency-key'));
}

function tagged(id: string | undefined): Subject | undefined {
  return named('tag', id === undefined ? undefined : tagIn(id));
}

function named(kind: Subject['kind'], id: string | undefined): Subject | undefined {
  return id === undefined || id === '' || id.length > LONGEST_ID ? undefined : { kind, id };
}

/** A part of a path without its escapes. Undefined for one that makes no sense. */
function decoded(part: string | undefined): string | undefined {
  if (part === undefined) return undefined;
  try {
    return decodeURIComponent(part);
  } catch {
    return undefined;
  }
}

function objectIn(body: string | undefined): Readonly<Record<string, unknown>> {
  try {
    return asObject(parseJson(body ?? ''));
  } catch {
    return {};
  }
}

function asObject(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : {};
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}
