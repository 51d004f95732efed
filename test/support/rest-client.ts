import { randomBytes } from 'node:crypto';
import { createParser } from './sse.ts';

/** What a result says of a stream that it does not carry whole. */
interface CutStream {
  bytes: number;
  total_bytes: number;
  file?: string;
  file_bytes?: number;
}

/** The answer of `execute_python`. */
export interface Execution {
  session_id: string;
  session_created?: true;
  execution_id: string;
  status: 'running' | 'ok' | 'error' | 'timeout' | 'cancelled' | 'out_of_memory' | 'crashed';
  exit_code: number | null;
  signal?: string;
  stdout: string;
  stderr: string;
  error?: { name: string; value: string; traceback: string; hint?: string };
  truncated?: { stdout?: CutStream; stderr?: CutStream };
  files: { path: string; size: number }[];
  results?: Record<string, unknown>[];
  context?: { name: string; created: boolean; alive: boolean };
  contexts?: string[];
  tool_calls?: { n: number; tool: string; ms: number; status: string; bytes: number }[];
  web?: {
    hosts: { host: string; port: number; requests: number; bytes_in: number; bytes_out: number }[];
    refused: { host: string; port: number; rule: string; message: string }[];
  };
  termination?: {
    by: 'interrupt' | 'kill' | 'uid_kill' | 'replaced';
    stacks?: { thread: string; frames: string[] }[];
    processes?: { pid: number; parent: number; command: string; state: string; cpu_ms: number }[];
  };
  limit?: { name: string; value: number | string; setting: string; ended?: string };
  session_reset?: { reason: string; lost: string[]; restored_from?: string };
  duration_ms: number;
  queued_ms?: number;
  waited_ms?: number;
  cpu_ms?: number;
  peak_memory_bytes?: number;
}

export interface ErrorAnswer {
  error: { code: string; message: string; hint: string; begun?: boolean };
}

export interface StreamEvent {
  readonly event: string;
  readonly data: unknown;
  /** When it came, in ms of the performance clock. */
  readonly at: number;
}

interface Target {
  readonly url: string;
}

interface PostOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

/** A POST of JSON; text is sent as it is. */
export async function post({ url }: Target, path: string, body: unknown, options: PostOptions = {}): Promise<Response> {
  return await fetch(`${url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...options.headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
    ...(options.signal ? { signal: options.signal } : {}),
  });
}

/** The `result` of a tool. @throws Error when the call is refused. */
export async function callTool(server: Target, name: string, args: object, options?: PostOptions): Promise<unknown> {
  const response = await post(server, '/execute', { name, arguments: args }, options);
  const body = (await response.json()) as { result?: unknown };
  if (!response.ok) throw new Error(`${response.status} ${JSON.stringify(body)}`);
  return body.result;
}

export async function runPython(
  server: Target,
  code: string,
  args: Record<string, unknown> = {},
  options?: PostOptions,
): Promise<Execution> {
  return (await callTool(server, 'execute_python', { code, ...args }, options)) as Execution;
}

/** The answer of `run_command`. */
export async function runCommand(
  server: Target,
  command: string | readonly string[],
  args: Record<string, unknown> = {},
  options?: PostOptions,
): Promise<Execution> {
  return (await callTool(server, 'run_command', { command, ...args }, options)) as Execution;
}

/** A new session; its id. */
export async function openSession(server: Target, name?: string): Promise<string> {
  const response = await post(server, '/sessions', name === undefined ? '' : { name });
  if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
  return ((await response.json()) as { session_id: string }).session_id;
}

/** Returns a session name that no other test, and no other try of this one, has. */
export const unusedName = (name: string): string => `${name}-${randomBytes(4).toString('hex')}`;

/** Whether a test has failed once, so that its session has what it left there. */
export const isSecondTry = ({ result }: { readonly result?: { readonly retryCount?: number } }): boolean =>
  (result?.retryCount ?? 0) > 0;

export async function closeSession({ url }: Target, id: string): Promise<Response> {
  return await fetch(`${url}/sessions/${id}`, { method: 'DELETE' });
}

/** The user that the code of a session runs as, as the code sees it. */
export async function userOf(server: Target, sessionId: string): Promise<number> {
  const { stdout } = await runPython(server, 'import os; print(os.getuid())', { session_id: sessionId });
  return Number(stdout);
}

/** The events of `POST /execute/stream`, with when each came; comments as events of that name. */
export async function* streamTool(
  server: Target,
  [name, args, query = '']: readonly [name: string, args: Record<string, unknown>, query?: string],
  options?: PostOptions,
): AsyncGenerator<StreamEvent> {
  const response = await post(server, `/execute/stream${query}`, { name, arguments: args }, options);
  if (!response.ok || !response.body) throw new Error(`${response.status} ${await response.text()}`);
  const parser = createParser();
  for await (const text of response.body.pipeThrough(new TextDecoderStream())) {
    const at = performance.now();
    for (const { event, data } of parser.take(text)) yield { event, data: parseData(data), at };
  }
}

/** The same of code. */
export function streamPython(
  server: Target,
  args: Record<string, unknown>,
  options?: PostOptions,
): AsyncGenerator<StreamEvent> {
  return streamTool(server, ['execute_python', args], options);
}

function parseData(data: string): unknown {
  try {
    return JSON.parse(data);
  } catch {
    return data;
  }
}
