import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { environment } from './environment.ts';
import { assertOutput, CODE } from './programs.ts';

/** A client of Glovebox, by one of its ways in. */
export interface Door extends AsyncDisposable {
  readonly name: string;
  /** Runs `print(1)` and checks the answer; in the door's own session unless another is named. */
  print(session?: string): Promise<void>;
}

interface Result {
  readonly status?: unknown;
  readonly stdout?: unknown;
}

/** An error of the server's table. */
export class Refusal extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** Calls a tool over REST; connections are kept open. */
export async function post(url: string, args: Record<string, unknown>): Promise<Result> {
  const response = await fetch(`${url}/execute`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ name: 'execute_python', arguments: args }),
  });
  const body = (await response.json()) as { result?: Result; error?: { code: string; message: string } };
  if (body.result) return body.result;
  const { code, message } = body.error ?? {};
  throw new Refusal(code ?? '', `POST /execute answered ${response.status}: ${message}`);
}

export async function closeSession(url: string, session: string): Promise<void> {
  const response = await fetch(`${url}/sessions/${session}`, { method: 'DELETE' });
  await response.arrayBuffer();
  if (!response.ok) throw new Error(`Closing a session answered ${response.status}.`);
}

export function openRest(url: string): Door {
  return {
    name: 'REST',
    print: async (session = 'bench-rest') => check(await post(url, { code: CODE, session_id: session })),
    [Symbol.asyncDispose]: async () => {},
  };
}

/** The stock client with either generation of the protocol. */
export async function openMcpHttp(url: string, era: 'modern' | 'legacy'): Promise<Door> {
  const client = createClient(era);
  await client.connect(new StreamableHTTPClientTransport(new URL(`${url}/mcp`)));
  return toDoor(`MCP HTTP, ${era === 'modern' ? '2026-07-28' : 'sessions of before'}`, client, `bench-${era}`);
}

/** Starts `glovebox stdio`, which makes nothing before the first call. */
export async function openStdio(cli: string, flags: readonly string[]): Promise<Door> {
  const client = createClient('modern');
  const args = [cli, 'stdio', '--log-level', 'warn', ...flags];
  await client.connect(new StdioClientTransport({ command: process.execPath, args, env: environment() }));
  return toDoor('MCP stdio', client, 'bench-stdio');
}

function createClient(era: 'modern' | 'legacy'): Client {
  const mode = era === 'modern' ? { pin: '2026-07-28' } : 'legacy';
  return new Client({ name: 'glovebox-bench', version: '1' }, { versionNegotiation: { mode } });
}

function toDoor(name: string, client: Client, own: string): Door {
  return {
    name,
    print: async (session = own) => {
      const args = { code: CODE, session_id: session };
      const { structuredContent } = await client.callTool({ name: 'execute_python', arguments: args });
      check((structuredContent ?? {}) as Result);
    },
    [Symbol.asyncDispose]: () => client.close(),
  };
}

export function check({ status, stdout }: Result): void {
  assertOutput(String(stdout), `execute_python with status ${status}`);
}
