import type { ErrorCode } from '../src/errors.ts';
import type { Execution } from '../test/support/rest-client.ts';
import { createParser } from '../test/support/sse.ts';

/** Beyond a call's own time limit: for the kill ladder, and a new sandbox on a machine that is busy making others. */
const ALLOWANCE_MS = 180_000;

/** Something that may not be. */
export class Violation extends Error {}

/** What came of a call: what the tool answered, an error of the table, or a connection that ended. */
export type Answer =
  | { readonly kind: 'result'; readonly result: Execution; readonly streamed?: string }
  | { readonly kind: 'refused'; readonly code: ErrorCode; readonly message: string }
  | { readonly kind: 'cut'; readonly why: string };

interface Reply {
  readonly status: number;
  readonly text: string;
}

export interface CallOptions {
  /** What the call may take by its own arguments. */
  readonly limitMs?: number;
  /** Hangs up. */
  readonly signal?: AbortSignal;
}

interface RestOptions {
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Looks at the whole text of every answer. */
  readonly onText?: (text: string) => void;
  /** Hears how long each call took beyond what its own arguments allow and its wait for a place, in ms. */
  readonly onLate?: (ms: number, call: string) => void;
}

/** A client of the REST interface, none of whose calls outlasts its deadline. */
export class Rest {
  readonly #options: RestOptions;

  constructor(options: RestOptions) {
    this.#options = options;
  }

  async execute(args: Record<string, unknown>, options?: CallOptions): Promise<Answer> {
    const body = { name: 'execute_python', arguments: args };
    const answer = await this.request('POST', '/execute', JSON.stringify(body), withLimit(args, options));
    if ('cut' in answer) return { kind: 'cut', why: answer.cut };
    return toAnswer(answer, (json) => (json as { result: Execution }).result);
  }

  /** As `execute`, by the stream of events; `streamed` has the stdout that came on it. */
  async stream(args: Record<string, unknown>, options?: CallOptions): Promise<Answer> {
    const body = { name: 'execute_python', arguments: args };
    const answer = await this.request('POST', '/execute/stream', JSON.stringify(body), withLimit(args, options));
    if ('cut' in answer) return { kind: 'cut', why: answer.cut };
    if (answer.status !== 200) return toAnswer(answer, () => assertNever(answer.text));
    const events = createParser().take(answer.text);
    const dataOf = (name: string) => events.filter(({ event }) => event === name).map(({ data }) => JSON.parse(data));
    const [ended] = dataOf('result');
    const [refused] = dataOf('error');
    if (refused) return { kind: 'refused', ...refused.error };
    if (!ended) throw new Violation(`A stream ended with neither a result nor an error: ${answer.text.slice(-300)}`);
    const streamed = dataOf('stdout')
      .map(({ text }) => text)
      .join('');
    return { kind: 'result', result: ended.result, streamed };
  }

  /** A background execution: `GET` waits for its end, `DELETE` cancels it. */
  async follow(method: 'GET' | 'DELETE', id: string, waitS = 0): Promise<Answer> {
    const query = method === 'GET' ? `?wait_s=${waitS}` : '';
    const answer = await this.request(method, `/executions/${id}${query}`, undefined, { limitMs: waitS * 1000 });
    return 'cut' in answer ? { kind: 'cut', why: answer.cut } : toAnswer(answer, (json) => json as Execution);
  }

  /**
   * Any request; `cut` says why its connection ended, if it did.
   * @throws Violation when it outlasts its deadline
   */
  async request(
    method: string,
    path: string,
    body?: string,
    { limitMs = 0, signal }: CallOptions = {},
  ): Promise<Reply | { readonly cut: string }> {
    const { url, headers, onText, onLate } = this.#options;
    const deadline = AbortSignal.timeout(limitMs + ALLOWANCE_MS);
    const started = performance.now();
    let waitedMs = 0;
    try {
      const response = await fetch(`${url}${path}`, {
        method,
        headers: { ...headers, ...(path.includes('/files/') ? {} : { 'Content-Type': 'application/json' }) },
        ...(body === undefined ? {} : { body }),
        signal: signal ? AbortSignal.any([signal, deadline]) : deadline,
      });
      const text = await response.text();
      onText?.(text);
      waitedMs = Number(/"queued_ms":(\d+)/.exec(text)?.[1] ?? 0);
      return { status: response.status, text };
    } catch (error) {
      if (error instanceof Violation) throw error;
      if (deadline.aborted)
        throw new Violation(`${method} ${path.slice(0, 60)} hung for ${limitMs + ALLOWANCE_MS} ms.`);
      return { cut: signal?.aborted ? 'hung up' : String((error as Error).cause ?? error) };
    } finally {
      onLate?.(performance.now() - started - limitMs - waitedMs, `${method} ${path} ${body?.slice(0, 200) ?? ''}`);
    }
  }
}

function withLimit(args: Record<string, unknown>, options: CallOptions = {}): CallOptions {
  return { limitMs: (Number(args['timeout_s']) || 30) * 1000, ...options };
}

function toAnswer({ status, text }: Reply, read: (json: unknown) => Execution): Answer {
  const json = JSON.parse(text) as { error?: { code: ErrorCode; message: string } };
  if (status < 400) return { kind: 'result', result: read(json) };
  if (!json.error) throw new Violation(`A status of ${status} came without an error: ${text.slice(0, 300)}`);
  return { kind: 'refused', code: json.error.code, message: json.error.message };
}

function assertNever(text: string): never {
  throw new Violation(`A success that is none: ${text.slice(0, 300)}`);
}
