interface Row {
  /** HTTP status of the answer over REST. */
  readonly status: number;
  /** Next step for the caller. */
  readonly hint: string;
  /** Next step for a REST caller, if it differs: REST has routes where MCP has tools. */
  readonly restHint?: string;
}

/** Every error that a caller can get. */
const ERROR_TABLE = {
  invalid_input: { status: 400, hint: 'Correct the input and call again.' },
  unauthorized: {
    status: 401,
    hint: 'Send a key as "Authorization: Bearer <key>" or "X-API-Key: <key>". The operator creates keys with: glovebox key new <name>',
  },
  forbidden: { status: 403, hint: 'This server answers only the callers and origins that its configuration allows.' },
  not_found: { status: 404, hint: 'GET /tools and the README list what this server offers.' },
  session_not_found: {
    status: 404,
    hint: 'The session has expired or never existed. Call execute_python without session_id to start a new one.',
    restHint: 'The session has expired or never existed. GET /sessions lists yours; POST /sessions creates one.',
  },
  file_not_found: {
    status: 404,
    hint: 'List the files of the session to see which ones exist.',
    restHint: 'GET /sessions/{id}/files?recursive=1 lists the files of the session.',
  },
  execution_not_found: {
    status: 404,
    hint: 'The execution ended with its session, or never ran in the background. Run it again.',
    restHint:
      'The execution ended with its session, or never ran in the background. GET /sessions/{id}/executions lists those of a session.',
  },
  terminal_not_found: {
    status: 404,
    hint: 'The terminal has ended, or never existed. GET /sessions/{id}/terminals lists those of a session.',
  },
  approval_not_found: {
    status: 404,
    hint: 'GET /approvals lists the questions that wait for you.',
  },
  approval_over: { status: 409, hint: 'The first answer counts. GET /approvals lists the questions that still wait.' },
  session_moved: {
    status: 409,
    hint: 'If the call had begun, its end is not known: look what it did before you call again.',
  },
  session_busy: { status: 409, hint: 'Wait until the running executions of this session have ended, then call again.' },
  request_timeout: { status: 408, hint: 'Send the whole request again, with no pause of a minute or more.' },
  precondition_failed: { status: 412, hint: 'The file has changed since you read it. GET it again, then decide.' },
  file_exists: {
    status: 412,
    hint: 'Use another name, or allow the existing file to be replaced.',
    restHint: 'Use another name, or leave out the header If-None-Match to replace it.',
  },
  payload_too_large: { status: 413, hint: 'Send less in one request.' },
  unsupported_media_type: { status: 415, hint: 'Send a type that this route accepts; GET /openapi.json lists them.' },
  capacity_exceeded: {
    status: 429,
    hint: 'Close a session that is no longer needed, or try again later.',
    restHint: 'Close a session that is no longer needed (DELETE /sessions/{id}), or try again later.',
  },
  internal_error: { status: 500, hint: "Try again. If it fails again, look in the server's log." },
  sandbox_lost: { status: 502, hint: 'Call again. The session continues in a new sandbox.' },
  issuer_unavailable: { status: 503, hint: 'Try again once the identity provider answers.' },
  engine_unavailable: { status: 503, hint: 'Start the container engine, then try again.' },
  archive_unavailable: { status: 503, hint: 'Nothing is lost. Try again once the storage of archives answers.' },
  disk_full: {
    status: 507,
    hint: 'Delete files that are no longer needed, then call again.',
    restHint: 'Delete files that are no longer needed (DELETE /sessions/{id}/files/{path}), then call again.',
  },
} as const satisfies Readonly<Record<string, Row>>;

export type ErrorCode = keyof typeof ERROR_TABLE;

export const ERROR_CODES = Object.keys(ERROR_TABLE) as readonly ErrorCode[];

/** The error that REST and MCP callers get: `{code, message, hint}`, and when to try again if that is known. */
export interface ErrorBody {
  code: ErrorCode;
  message: string;
  hint: string;
  /** Seconds to wait before trying again; REST sends them in `Retry-After` as well. */
  retry_after_s?: number;
  /** Whether the call had begun when something went away. If it had, nobody knows what it did. */
  begun?: boolean;
}

/** Codes of errors that end calls before they begin, or in the midst of them. */
const OF_EITHER: ReadonlySet<ErrorCode> = new Set(['engine_unavailable', 'session_moved', 'sandbox_lost']);
const NOT_BEGUN = 'Nothing of the call was begun.';
const LOOK_FIRST = 'look what it did before you call again.';

interface ErrorOptions {
  readonly hint?: string;
  readonly restHint?: string;
  readonly cause?: unknown;
  readonly retryAfterS?: number | undefined;
  /** Whether the call had begun. The hint says so as well. Default: that is not said. */
  readonly begun?: boolean | undefined;
}

/** The only error that a module throws on purpose; any other is a defect. */
export class GloveboxError extends Error {
  readonly code: ErrorCode;
  readonly hint: string;
  /** Next step for a REST caller. */
  readonly restHint: string;
  readonly retryAfterS: number | undefined;
  /** Whether the call had begun. Undefined if that is not said. */
  readonly begun: boolean | undefined;

  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    // The message may quote what a caller sent, cut in the middle of a character.
    super(message.toWellFormed(), 'cause' in options ? { cause: options.cause } : undefined);
    this.name = 'GloveboxError';
    this.code = code;
    const row: Row = ERROR_TABLE[code];
    const { hint, restHint, begun } = options;
    this.hint = sayingBegun(hint ?? row.hint, begun).toWellFormed();
    this.restHint = sayingBegun(restHint ?? hint ?? row.restHint ?? row.hint, begun).toWellFormed();
    this.retryAfterS = options.retryAfterS;
    this.begun = begun;
  }

  get status(): (typeof ERROR_TABLE)[ErrorCode]['status'] {
    return ERROR_TABLE[this.code].status;
  }

  toBody(): ErrorBody {
    const body: ErrorBody = { code: this.code, message: this.message, hint: this.hint };
    if (this.retryAfterS !== undefined) body.retry_after_s = this.retryAfterS;
    if (this.begun !== undefined) body.begun = this.begun;
    return body;
  }

  /** The body for a REST caller, whose hint names routes instead of tools. */
  toRestBody(): ErrorBody {
    return { ...this.toBody(), hint: this.restHint };
  }
}

/** A hint that says whether the call had begun. */
function sayingBegun(hint: string, begun: boolean | undefined): string {
  if (begun === undefined) return hint;
  const otherwise = hint.replace(NOT_BEGUN, '').trim();
  if (begun) return otherwise.endsWith(LOOK_FIRST) ? otherwise : `${otherwise} The call had begun: ${LOOK_FIRST}`;
  if (hint.includes(NOT_BEGUN)) return hint;
  return hint === ERROR_TABLE.session_moved.hint ? `${NOT_BEGUN} Call again.` : `${hint} ${NOT_BEGUN}`;
}

/**
 * Returns an error that says whether its call had begun, where its code leaves that open. What a part of the call said before
 * stands, unless more of it had begun. Other errors stay as they are.
 */
export function sayBegun(thrown: unknown, begun: boolean): unknown {
  if (!(thrown instanceof GloveboxError) || !OF_EITHER.has(thrown.code)) return thrown;
  if (thrown.begun === begun || thrown.begun) return thrown;
  const { code, message, hint, restHint, retryAfterS } = thrown;
  // Several calls may get the same one.
  return new GloveboxError(code, message, { hint, restHint, retryAfterS, begun, cause: thrown });
}

/** `capacity_exceeded` that passes by itself. @param retryAfterS whole seconds until trying again makes sense */
export function capacityExceeded(message: string, retryAfterS: number, hint = ''): GloveboxError {
  const again = `Try again in ${retryAfterS} second${retryAfterS === 1 ? '' : 's'}.`;
  return new GloveboxError('capacity_exceeded', message, { hint: `${hint} ${again}`.trim(), retryAfterS });
}

/** `engine_unavailable` for a request that arrives, or waits for its turn, while the server shuts down. */
export function serverStopping(): GloveboxError {
  return new GloveboxError('engine_unavailable', 'The server is shutting down.', {
    hint: 'Try again once the server is back.',
  });
}

/**
 * Any thrown value as a GloveboxError. Another error becomes `internal_error` with none of its own text: a caller must not
 * see that. The log does, as `cause`.
 */
export function toGloveboxError(thrown: unknown): GloveboxError {
  if (thrown instanceof GloveboxError) return thrown;
  return new GloveboxError('internal_error', 'Something went wrong inside Glovebox.', { cause: thrown });
}
