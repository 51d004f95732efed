interface Row {
  /** HTTP status that REST answers with. */
  readonly status: number;
  /** The next step for the reader. */
  readonly hint: string;
  /** The next step of a REST caller, where it has routes for what others have tools for. */
  readonly restHint?: string;
}

/** Everything that can go wrong for a caller, in one table. */
const ERROR_TABLE = {
  invalid_input: { status: 400, hint: 'Correct the input and call again.' },
  unauthorized: {
    status: 401,
    hint: 'Send one as "Authorization: Bearer <key>" or "X-API-Key: <key>". The operator makes keys with: glovebox key new <name>',
  },
  forbidden: { status: 403, hint: 'This server only answers callers and origins that its configuration allows.' },
  not_found: { status: 404, hint: 'See GET /tools, or the README, for what this server offers.' },
  session_not_found: {
    status: 404,
    hint: 'It has ended, or never was: execute_python without session_id begins a new one.',
    restHint: 'It has ended, or never was: GET /sessions lists yours, POST /sessions makes one.',
  },
  file_not_found: {
    status: 404,
    hint: 'List the files of the session to see what is there.',
    restHint: 'See GET /sessions/{id}/files?recursive=1 for what is there.',
  },
  execution_not_found: {
    status: 404,
    hint: 'It ended with its session, or was never in the background: run it again.',
    restHint:
      'It ended with its session, or was never in the background: GET /sessions/{id}/executions lists those of a session.',
  },
  session_busy: { status: 409, hint: 'Wait for the running executions of this session to end, then call again.' },
  request_timeout: { status: 408, hint: 'Send the whole request again, without a pause of a minute.' },
  precondition_failed: { status: 412, hint: 'It has changed since it was looked at: GET it again, then decide.' },
  file_exists: {
    status: 412,
    hint: 'Use another name, or write it without asking that it be new.',
    restHint: 'Use another name, or leave out the header If-None-Match to replace it.',
  },
  payload_too_large: { status: 413, hint: 'Send less in one request.' },
  unsupported_media_type: { status: 415, hint: 'Send it as a type that this route takes: see GET /openapi.json.' },
  capacity_exceeded: {
    status: 429,
    hint: 'Close a session that is no longer needed, or try again later.',
    restHint: 'Close a session that is no longer needed (DELETE /sessions/{id}), or try again later.',
  },
  internal_error: { status: 500, hint: "Try again; if it happens again, look at the server's log." },
  sandbox_lost: { status: 502, hint: 'Call again: the session continues in a new sandbox.' },
  engine_unavailable: { status: 503, hint: 'Start the container engine, then try again.' },
  disk_full: {
    status: 507,
    hint: 'Delete files that are no longer needed, then call again.',
    restHint: 'Delete files that are no longer needed (DELETE /sessions/{id}/files/{path}), then call again.',
  },
} as const satisfies Readonly<Record<string, Row>>;

export type ErrorCode = keyof typeof ERROR_TABLE;

export const ERROR_CODES = Object.keys(ERROR_TABLE) as readonly ErrorCode[];

/** What REST and MCP callers are told: `{code, message, hint}`, and when to try again where that is known. */
export interface ErrorBody {
  code: ErrorCode;
  message: string;
  hint: string;
  /** Seconds; REST says it in `Retry-After` as well. */
  retry_after_s?: number;
}

/** The one error type that crosses a module's border on purpose; anything else is a defect. */
export class GloveboxError extends Error {
  readonly code: ErrorCode;
  readonly hint: string;
  /** The hint to a REST caller. */
  readonly restHint: string;
  readonly retryAfterS: number | undefined;

  constructor(
    code: ErrorCode,
    message: string,
    options: { hint?: string; restHint?: string; cause?: unknown; retryAfterS?: number } = {},
  ) {
    // A part of what a caller sent may stand in it, cut within a character.
    super(message.toWellFormed(), 'cause' in options ? { cause: options.cause } : undefined);
    this.name = 'GloveboxError';
    this.code = code;
    const row: Row = ERROR_TABLE[code];
    this.hint = (options.hint ?? row.hint).toWellFormed();
    this.restHint = (options.restHint ?? options.hint ?? row.restHint ?? row.hint).toWellFormed();
    this.retryAfterS = options.retryAfterS;
  }

  get status(): (typeof ERROR_TABLE)[ErrorCode]['status'] {
    return ERROR_TABLE[this.code].status;
  }

  toBody(): ErrorBody {
    const body: ErrorBody = { code: this.code, message: this.message, hint: this.hint };
    return this.retryAfterS === undefined ? body : { ...body, retry_after_s: this.retryAfterS };
  }

  /** The same for a REST caller. */
  toRestBody(): ErrorBody {
    return { ...this.toBody(), hint: this.restHint };
  }
}

/** `capacity_exceeded` that passes by itself: whoever tries again after so many whole seconds may find room. */
export function capacityExceeded(message: string, retryAfterS: number, hint = ''): GloveboxError {
  const again = `Try again in ${retryAfterS} second${retryAfterS === 1 ? '' : 's'}.`;
  return new GloveboxError('capacity_exceeded', message, { hint: `${hint} ${again}`.trim(), retryAfterS });
}

/** `engine_unavailable` for what comes, or has not begun, when the server ends. */
export function serverStopping(): GloveboxError {
  return new GloveboxError('engine_unavailable', 'This server is stopping.', { hint: 'Call again when it runs anew.' });
}

/**
 * Any thrown value as a GloveboxError. What is not one already becomes `internal_error`
 * with no foreign text in it: that belongs in the log, where `cause` carries it.
 */
export function toGloveboxError(thrown: unknown): GloveboxError {
  if (thrown instanceof GloveboxError) return thrown;
  return new GloveboxError('internal_error', 'Something went wrong inside Glovebox.', { cause: thrown });
}
