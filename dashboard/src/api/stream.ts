import { createParser } from 'eventsource-parser';
import { call, send } from './client.ts';
import { ApiError, isRecord, noAnswer, toApiError } from './error.ts';
import type { Execution, Installation, Result } from './types.ts';

/** What a call tells while it runs. */
export interface StreamHandlers {
  readonly onSession?: (id: string, created: boolean) => void;
  readonly onText?: (stream: 'stdout' | 'stderr', text: string) => void;
  readonly onDisplay?: (result: Result) => void;
  readonly onProgress?: (message: string) => void;
}

export interface StreamedCall<T> {
  /** @throws ApiError when the call failed, or its result is lost */
  readonly result: Promise<T>;
  /** Asks the server to end it. The result then says so, with the output so far. */
  readonly stop: () => Promise<void>;
}

interface Outcome {
  result?: unknown;
  error?: ApiError;
}

const PATH = '/execute/stream';
const RECONNECT_MS = 1000;
/** The server forgets a call five seconds after its last reader left. */
const MOST_ATTEMPTS = 8;

export function runPython(args: Readonly<Record<string, unknown>>, handlers: StreamHandlers): StreamedCall<Execution> {
  return follow<Execution>('execute_python', args, handlers);
}

export function install(args: Readonly<Record<string, unknown>>, handlers: StreamHandlers): StreamedCall<Installation> {
  return follow<Installation>('install_dependencies', args, handlers);
}

function follow<T>(name: string, args: object, handlers: StreamHandlers): StreamedCall<T> {
  const key = newKey();
  const headers = { 'Idempotency-Key': key, Accept: 'text/event-stream' };
  const body = { name, arguments: args };
  return {
    result: readToEnd<T>(body, headers, handlers),
    stop: async () => void (await call(PATH, { method: 'DELETE', headers: { 'Idempotency-Key': key } })),
  };
}

/** `crypto.randomUUID` is missing where a page comes over plain HTTP. */
function newKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** Reads all events. When the connection breaks, it comes back for those that it has not had. */
async function readToEnd<T>(
  body: object,
  headers: Readonly<Record<string, string>>,
  handlers: StreamHandlers,
): Promise<T> {
  const outcome: Outcome = {};
  let lastId: string | undefined;
  const parser = createParser({
    onEvent: ({ id, event, data }) => {
      lastId = id ?? lastId;
      handleEvent(event ?? '', JSON.parse(data), handlers, outcome);
    },
  });
  for (let attempt = 0; attempt < MOST_ATTEMPTS; attempt += 1) {
    try {
      const resumed = lastId === undefined ? {} : { 'Last-Event-ID': lastId };
      const answer = await send(PATH, { method: 'POST', body, headers: { ...headers, ...resumed } });
      await readText(answer, (text) => {
        attempt = 0;
        parser.feed(text);
      });
    } catch (thrown) {
      if (thrown instanceof ApiError && thrown.status !== 0) throw lastId === undefined ? thrown : lostResult(thrown);
    }
    if (outcome.error) throw outcome.error;
    if ('result' in outcome) return outcome.result as T;
    parser.reset();
    await new Promise((resolve) => setTimeout(resolve, RECONNECT_MS));
  }
  throw noAnswer();
}

async function readText(answer: Response, take: (text: string) => void): Promise<void> {
  const reader = answer.body?.getReader();
  const decoder = new TextDecoder();
  for (;;) {
    const part = await reader?.read();
    if (!part || part.done) return;
    take(decoder.decode(part.value, { stream: true }));
  }
}

function handleEvent(event: string, data: unknown, handlers: StreamHandlers, outcome: Outcome): void {
  if (!isRecord(data)) return;
  if (event === 'session') handlers.onSession?.(String(data['session_id']), data['session_created'] === true);
  else if (event === 'stdout' || event === 'stderr') handlers.onText?.(event, String(data['text']));
  else if (event === 'display' && isRecord(data['result'])) handlers.onDisplay?.(data['result'] as Result);
  else if (event === 'progress') handlers.onProgress?.(String(data['message']));
  else if (event === 'tool_call') handlers.onProgress?.(describeCall(data));
  else if (event === 'result') outcome.result = data['result'];
  else if (event === 'error') outcome.error = toApiError(0, data);
}

function describeCall({ tool, status, ms }: Record<string, unknown>): string {
  return status === 'begun' ? `Calling ${tool}` : `Called ${tool}: ${status} after ${ms} ms`;
}

function lostResult({ status, code }: ApiError): ApiError {
  if (status === 401) {
    return new ApiError(
      status,
      code,
      'The key is not accepted any more.',
      'Enter another one, then open the session again.',
    );
  }
  return new ApiError(
    status,
    code,
    'The connection was lost while this ran, and its result cannot be had any more.',
    'It was not run again. Look at the files of the session, then run it again if need be.',
  );
}
