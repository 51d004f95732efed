import { isConnected, lostConnection } from './connection.ts';
import { noAnswer, toApiError } from './error.ts';
import { access, authorization, refused } from './key.ts';

export interface CallOptions {
  readonly method?: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** Sent as JSON. */
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal | undefined;
  /** Key to send instead of that of the page. */
  readonly key?: string | undefined;
}

/** Address of a route, also where a proxy serves this page below a path. */
export function address(path: string): URL {
  return new URL(path.replace(/^\//, ''), document.baseURI);
}

/** Sends a request. @throws ApiError for any answer but a success, and for none */
export async function send(path: string, options: CallOptions = {}): Promise<Response> {
  const { method = 'GET', body, headers, signal, key } = options;
  const answer = await fetch(address(path), {
    method,
    headers: {
      Accept: 'application/json',
      ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
      ...(key === undefined ? authorization() : { Authorization: `Bearer ${key}` }),
      ...headers,
    },
    body: body === undefined ? null : JSON.stringify(body),
    signal: signal ?? null,
    cache: 'no-store',
    credentials: 'omit',
    redirect: 'error',
  }).catch((thrown: unknown) => {
    if (signal?.aborted) throw thrown;
    lostConnection();
    throw noAnswer();
  });
  isConnected.value = true;
  if (key === undefined && answer.status === 401) refused();
  else if (key === undefined && access.value === 'unknown') access.value = 'open';
  if (answer.ok) return answer;
  throw toApiError(answer.status, await answer.json().catch(() => undefined));
}

/** Sends a request and reads its JSON. @throws ApiError as `send` does */
export async function call<T>(path: string, options: CallOptions = {}): Promise<T> {
  const answer = await send(path, options);
  return answer.status === 204 ? (undefined as T) : await answer.json();
}
