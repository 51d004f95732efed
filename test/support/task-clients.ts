import {
  Client,
  type JSONRPCMessage,
  type StandardSchemaV1,
  StreamableHTTPClientTransport,
} from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { Client as OldClient } from '@modelcontextprotocol/sdk/client/index.js';
import { SSEClientTransport as OldSse } from '@modelcontextprotocol/sdk/client/sse.js';
import { StdioClientTransport as OldStdio } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport as OldHttp } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import type { Transport as OldTransport } from '@modelcontextprotocol/sdk/shared/transport.js';
import { z } from 'zod';
import { type ConnectOptions, stdioParameters } from './mcp-clients.ts';

const info = { name: 'stock-client', version: '1' };
const EXTENSION = 'io.modelcontextprotocol/tasks';

/** What a server answers with, as it was on the wire. */
export type Answer = Record<string, unknown>;

/** A client of version 2026-07-28 that names the extension; the SDK's own reads no answer that is a task. */
export interface ModernClient extends AsyncDisposable {
  /** Calls a tool; gives what the server sent. */
  call(name: string, args: Record<string, unknown>): Promise<Answer>;
  request(method: string, params: Record<string, unknown>): Promise<Answer>;
}

const anything: StandardSchemaV1<unknown, Answer> = z.looseObject({});

async function connectModern(
  transport: StreamableHTTPClientTransport | StdioClientTransport,
  capabilities: object = { extensions: { [EXTENSION]: {} }, elicitation: { form: {} } },
): Promise<ModernClient> {
  const client = new Client(info, { capabilities, versionNegotiation: { mode: { pin: '2026-07-28' } } });
  await client.connect(transport);
  let last: JSONRPCMessage | undefined;
  const onmessage = transport.onmessage;
  transport.onmessage = (message, ...rest: []) => {
    if ('result' in message) last = message;
    onmessage?.(message, ...rest);
  };
  return {
    call: async (name, args) => {
      last = undefined;
      const failure = await client.callTool({ name, arguments: args }).catch((error: unknown) => error);
      if (last && 'result' in last) return last['result'] as Answer;
      throw failure;
    },
    request: async (method, params) => await client.request({ method, params }, anything),
    [Symbol.asyncDispose]: () => client.close(),
  };
}

export const modernHttp = (
  { url }: { readonly url: string },
  { headers }: ConnectOptions = {},
  capabilities?: object,
) =>
  connectModern(
    new StreamableHTTPClientTransport(new URL('/mcp', url), headers ? { requestInit: { headers } } : {}),
    capabilities,
  );

export const modernStdio = (stateDir?: string, env: Record<string, string> = {}) =>
  connectModern(new StdioClientTransport(stdioParameters(stateDir, env)));

/** A client of version 2025-11-25 that has said that it knows tasks, unless it is to be silent. */
export async function connectOldTasks(transport: OldTransport, capabilities: object = { tasks: {} }) {
  const client = new OldClient(info, { capabilities });
  await client.connect(transport);
  await client.listTools();
  return Object.assign(client, { [Symbol.asyncDispose]: () => client.close() });
}

export type OldTaskClient = Awaited<ReturnType<typeof connectOldTasks>>;

const init = ({ headers }: ConnectOptions) => (headers ? { requestInit: { headers } } : {});
export const oldHttp = ({ url }: { readonly url: string }, options: ConnectOptions = {}, capabilities?: object) =>
  connectOldTasks(new OldHttp(new URL('/mcp', url), init(options)) as OldTransport, capabilities);
export const oldSse = ({ url }: { readonly url: string }, options: ConnectOptions = {}, capabilities?: object) =>
  connectOldTasks(new OldSse(new URL('/sse', url), init(options)), capabilities);
export const oldStdio = (stateDir?: string, env: Record<string, string> = {}, capabilities?: object) =>
  connectOldTasks(new OldStdio(stdioParameters(stateDir, env)), capabilities);
