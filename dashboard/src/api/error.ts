/** An answer that is no success, in the words of the server. */
export class ApiError extends Error {
  /** HTTP status; 0 if there was no answer. */
  readonly status: number;
  readonly code: string;
  /** What to do next. */
  readonly hint: string;

  constructor(status: number, code: string, message: string, hint: string) {
    super(message);
    this.name = 'ApiError';
    this.status = status;
    this.code = code;
    this.hint = hint;
  }
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Reads `{error: {code, message, hint}}`. */
export function toApiError(status: number, body: unknown): ApiError {
  const error = isRecord(body) && isRecord(body['error']) ? body['error'] : {};
  const text = (name: string, otherwise: string) => {
    const value = error[name];
    return typeof value === 'string' ? value : otherwise;
  };
  return new ApiError(
    status,
    text('code', 'unknown'),
    text('message', `The server answered with status ${status}.`),
    text('hint', 'Try again. If it fails again, look in the log of the server.'),
  );
}

export function noAnswer(): ApiError {
  return new ApiError(
    0,
    'no_answer',
    'The server does not answer.',
    'It may be restarting: this page goes on as soon as it is back.',
  );
}

/** Any thrown value as an error to show. */
export function describeError(thrown: unknown): ApiError {
  if (thrown instanceof ApiError) return thrown;
  return new ApiError(0, 'page_error', String(thrown), 'Load the page again.');
}
