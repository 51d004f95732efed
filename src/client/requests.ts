import { ERROR_CODES, type ErrorBody, type ErrorCode, GloveboxError } from '../errors.ts';

/** Why `fetch` fails where there is no connection. */
const NO_CONNECTION: ReadonlySet<unknown> = new Set([
  ...['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'UND_ERR_CONNECT_TIMEOUT'],
]);
/** Why it fails where a connection broke, on which a request may have been sent. */
const BROKEN: ReadonlySet<unknown> = new Set(['ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET', 'UND_ERR_HEADERS_TIMEOUT']);

/** What a server of this program sends with a 401. */
const REALM = 'Bearer realm="glovebox"';

/** Server and key of all requests. */
export interface Server {
  /** Without a slash at its end. */
  readonly url: string;
  readonly key: string | undefined;
}

export interface Sent {
  readonly method?: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** Body, sent as JSON. */
  readonly json?: unknown;
  /** Body, sent while it is read. */
  readonly bytes?: AsyncIterable<Uint8Array>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

/** Sends a request. @throws GloveboxError of the server, or `engine_unavailable` if it cannot be reached */
export async function send({ url, key }: Server, path: string, sent: Sent = {}): Promise<Response> {
  const { method = 'GET', json, bytes, headers, signal } = sent;
  const response = await fetch(`${url}${path}`, {
    method,
    headers: {
      ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
      ...(json === undefined ? {} : { 'content-type': 'application/json' }),
      ...(bytes === undefined ? {} : { 'content-type': 'application/octet-stream' }),
      ...headers,
    },
    redirect: 'error',
    ...(json === undefined ? {} : { body: JSON.stringify(json) }),
    ...(bytes === undefined ? {} : { body: bytes, duplex: 'half' }),
    ...(signal ? { signal } : {}),
  }).catch((error: unknown) => {
    if (signal?.aborted && !isTimeout(signal)) throw error;
    throw method !== 'GET' && BROKEN.has(codeOf(error)) ? wentAway(url, error) : unreachable(url, error);
  });
  if (response.ok) return response;
  throw await toError(url, response);
}

/** Reads the JSON of a response. @throws GloveboxError `engine_unavailable` when the connection ends before it does */
export async function readJson(server: Server, path: string, sent?: Sent): Promise<unknown> {
  const response = await send(server, path, sent);
  try {
    return await response.json();
  } catch (error) {
    throw wentAway(server.url, error);
  }
}

/** Error of a server that ended, or a network that broke, during a call. */
export function wentAway(url: string, cause?: unknown): GloveboxError {
  return new GloveboxError('engine_unavailable', `The server at ${url} went away before the call ended.`, {
    hint: 'What ran there has ended, or ends soon. Look at the log of the server.',
    begun: true,
    cause,
  });
}

function unreachable(url: string, cause: unknown): GloveboxError {
  return new GloveboxError('engine_unavailable', `No server answers at ${url}${reasonOf(cause)}.`, {
    hint: 'Start one with: glovebox serve. Or correct GLOVEBOX_URL; with --local, no server is needed.',
    begun: NO_CONNECTION.has(codeOf(cause)) ? false : undefined,
    cause,
  });
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && error.cause instanceof Error && 'code' in error.cause ? error.cause.code : undefined;
}

function isTimeout({ reason }: AbortSignal): boolean {
  return reason instanceof DOMException && reason.name === 'TimeoutError';
}

/** Why `fetch` failed, which it says in the cause of its error. */
function reasonOf(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  if (!(cause instanceof Error)) return '';
  const { code } = cause as NodeJS.ErrnoException;
  return ` (${code ?? cause.message})`;
}

/** Error that an answer describes. */
async function toError(url: string, response: Response): Promise<GloveboxError> {
  const { status } = response;
  const body: unknown = await response.json().catch(() => undefined);
  const error = errorIn(body);
  if (response.headers.get('www-authenticate') === REALM) {
    return new GloveboxError('unauthorized', `The server at ${url} asks for a key that it knows.`, {
      hint: 'Set GLOVEBOX_KEY to a key of yours. The operator of the server makes one with: glovebox key new NAME',
    });
  }
  if (error) return error;
  return new GloveboxError('engine_unavailable', `What answers at ${url} is no Glovebox: status ${status}.`, {
    hint: 'Correct GLOVEBOX_URL, or take another one with --url.',
  });
}

/** Error of a body such as `{"error": {"code", "message", "hint"}}`, or of an event with it. */
export function errorIn(body: unknown): GloveboxError | undefined {
  if (typeof body !== 'object' || body === null || !('error' in body)) return undefined;
  const { error } = body;
  if (typeof error !== 'object' || error === null) return undefined;
  const { code, message, hint, begun, retry_after_s } = error as Readonly<Record<keyof ErrorBody, unknown>>;
  if (typeof message !== 'string' || typeof hint !== 'string') return undefined;
  return new GloveboxError(isCode(code) ? code : 'internal_error', message, {
    hint,
    begun: typeof begun === 'boolean' ? begun : undefined,
    retryAfterS: typeof retry_after_s === 'number' ? retry_after_s : undefined,
  });
}

function isCode(code: unknown): code is ErrorCode {
  return (ERROR_CODES as readonly unknown[]).includes(code);
}
