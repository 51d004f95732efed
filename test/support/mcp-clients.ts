import { Client, SSEClientTransport, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { Client as OldClient } from '@modelcontextprotocol/sdk/client/index.js';
import { SSEClientTransport as OldSse } from '@modelcontextprotocol/sdk/client/sse.js';
import { StdioClientTransport as OldStdio } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport as OldHttp } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import type { Transport as OldTransport } from '@modelcontextprotocol/sdk/shared/transport.js';
import { ElicitRequestSchema } from '@modelcontextprotocol/sdk/types.js';
import type { Execution } from './rest-client.ts';
import { CLI, environment, newStateDir } from './server.ts';

export interface CallOptions {
  readonly signal?: AbortSignal;
  /** How long to wait for the answer, in ms. */
  readonly timeout?: number;
  readonly onprogress?: (progress: { progress: number; message?: string | undefined }) => void;
}

export interface ListedTool {
  readonly name: string;
  readonly description?: string | undefined;
  readonly inputSchema: unknown;
  readonly outputSchema?: unknown;
}

export interface CallAnswer {
  readonly content: readonly { readonly type: string; readonly text?: string }[];
  readonly structuredContent?: Record<string, unknown>;
  readonly isError?: boolean;
  readonly _meta?: Record<string, unknown>;
}

export interface ListedResource {
  readonly uri: string;
  readonly name: string;
  readonly title?: string | undefined;
  readonly mimeType?: string | undefined;
  readonly size?: number | undefined;
}

export interface ResourceContents {
  readonly uri: string;
  readonly mimeType?: string | undefined;
  readonly text?: string;
  readonly blob?: string;
}

/** What the tests need of a stock client, whichever it is; disposing of it closes it as its user would. */
export interface StockClient extends AsyncDisposable {
  list(): Promise<readonly ListedTool[]>;
  call(name: string, args: Record<string, unknown>, options?: CallOptions): Promise<CallAnswer>;
  instructions(): string | undefined;
  resources(): Promise<readonly ListedResource[]>;
  templates(): Promise<readonly string[]>;
  read(uri: string): Promise<readonly ResourceContents[]>;
}

export interface ConnectOptions {
  /** HTTP headers of every request. */
  readonly headers?: Record<string, string>;
  /** Of the server's address. */
  readonly query?: string;
  /** Answers the forms that its user is shown. Without it, it cannot show any. */
  readonly elicit?: ShowForm | undefined;
}

/** A form that the user of a client is shown. */
export interface ShownForm {
  readonly message: string;
  readonly requestedSchema: unknown;
}

export type ShowForm = (form: ShownForm) => Promise<{
  readonly action: 'accept' | 'decline' | 'cancel';
  readonly content?: Record<string, string>;
}>;

const info = { name: 'stock-client', version: '1' };

/** What both generations of clients have in common of resources. */
function resourcesOf(client: OldClient | Client): Pick<StockClient, 'resources' | 'templates' | 'read'> {
  return {
    resources: async () => (await client.listResources()).resources,
    templates: async () =>
      (await client.listResourceTemplates()).resourceTemplates.map(({ uriTemplate }) => uriTemplate),
    read: async (uri) => (await client.readResource({ uri })).contents,
  };
}

/** Forms in their first version, which had no other. */
const FORMS = { capabilities: { elicitation: {} } };

function toForm({ params }: { readonly params: { readonly message: string } }): ShownForm {
  const { message, requestedSchema }: { message: string; requestedSchema?: unknown } = params;
  return { message, requestedSchema };
}

export async function connectOld(transport: OldTransport, elicit?: ShowForm): Promise<StockClient> {
  const client = new OldClient(info, elicit ? FORMS : {});
  if (elicit)
    client.setRequestHandler(ElicitRequestSchema, async (request) => ({ ...(await elicit(toForm(request))) }));
  await client.connect(transport);
  return {
    list: async () => (await client.listTools()).tools,
    call: async (name, args, options) =>
      (await client.callTool({ name, arguments: args }, undefined, options)) as CallAnswer,
    instructions: () => client.getInstructions(),
    ...resourcesOf(client),
    [Symbol.asyncDispose]: () => client.close(),
  };
}

type NewTransport = StreamableHTTPClientTransport | SSEClientTransport | StdioClientTransport;
type Mode = 'legacy' | 'auto' | { pin: string };

export async function connectNew(transport: NewTransport, mode?: Mode, elicit?: ShowForm): Promise<StockClient> {
  const client = new Client(info, {
    ...(mode === undefined ? {} : { versionNegotiation: { mode } }),
    ...(elicit ? FORMS : {}),
  });
  if (elicit)
    client.setRequestHandler('elicitation/create', async (request) => ({ ...(await elicit(toForm(request))) }));
  await client.connect(transport);
  return {
    list: async () => (await client.listTools()).tools,
    call: async (name, args, options) => (await client.callTool({ name, arguments: args }, options)) as CallAnswer,
    instructions: () => client.getInstructions(),
    ...resourcesOf(client),
    [Symbol.asyncDispose]: () => client.close(),
  };
}

type Connect = (server: { readonly url: string }, options?: ConnectOptions) => Promise<StockClient>;

const mcp = (url: string, { query = '' }: ConnectOptions = {}) => new URL(`/mcp${query}`, url);
const sse = (url: string, { query = '' }: ConnectOptions = {}) => new URL(`/sse${query}`, url);
const init = ({ headers }: ConnectOptions) => (headers ? { requestInit: { headers } } : {});
const newHttp = (url: string, options: ConnectOptions = {}) =>
  new StreamableHTTPClientTransport(mcp(url, options), init(options));

const MODERN = '2026-07-28';

/** Clients with a protocol session on the server: their calls continue in one Glovebox session. */
export const LEGACY_HTTP: readonly [string, Connect][] = [
  [
    'v1, streamable HTTP',
    ({ url }, options = {}) =>
      connectOld(new OldHttp(mcp(url, options), init(options)) as OldTransport, options.elicit),
  ],
  ['v1, SSE', ({ url }, options = {}) => connectOld(new OldSse(sse(url, options), init(options)), options.elicit)],
  ['v2, by default', ({ url }, options) => connectNew(newHttp(url, options), undefined, options?.elicit)],
  ['v2, legacy', ({ url }, options) => connectNew(newHttp(url, options), 'legacy', options?.elicit)],
  [
    'v2, SSE',
    ({ url }, options = {}) =>
      connectNew(new SSEClientTransport(sse(url, options), init(options)), undefined, options.elicit),
  ],
];

/** Clients of the newest protocol, which has no sessions. */
export const MODERN_HTTP: readonly [string, Connect][] = [
  ['v2, auto', ({ url }, options) => connectNew(newHttp(url, options), 'auto', options?.elicit)],
  [
    'v2, pinned to 2026-07-28',
    ({ url }, options) => connectNew(newHttp(url, options), { pin: MODERN }, options?.elicit),
  ],
];

type ConnectStdio = (
  stateDir?: string,
  elicit?: ShowForm,
  variables?: Record<string, string>,
) => Promise<StockClient & { readonly pid: number }>;

export function stdioParameters(stateDir = newStateDir(), more: Record<string, string> = {}) {
  const variables = Object.entries({ ...environment(stateDir), ...more }).filter(
    (entry): entry is [string, string] => entry[1] !== undefined,
  );
  const env = Object.fromEntries(variables);
  return { command: process.execPath, args: [CLI, 'stdio'], env, stderr: 'pipe' as const };
}

const oldStdio: ConnectStdio = async (stateDir, elicit, variables) => {
  const transport = new OldStdio(stdioParameters(stateDir, variables));
  return Object.assign(await connectOld(transport, elicit), { pid: transport.pid ?? 0 });
};

const newStdio =
  (mode?: Mode): ConnectStdio =>
  async (stateDir, elicit, variables) => {
    const transport = new StdioClientTransport(stdioParameters(stateDir, variables));
    return Object.assign(await connectNew(transport, mode, elicit), { pid: transport.pid ?? 0 });
  };

/** A client that starts any command that speaks MCP. */
export async function connectCommand([command, ...args]: readonly [string, ...string[]]): Promise<StockClient> {
  const env = Object.fromEntries(Object.entries(process.env).filter((entry): entry is [string, string] => !!entry[1]));
  return await connectNew(new StdioClientTransport({ command, args, env, stderr: 'pipe' }));
}

/** Clients that start `glovebox stdio` themselves. */
export const STDIO: readonly [string, ConnectStdio][] = [
  ['v1', oldStdio],
  ['v2, by default', newStdio()],
  ['v2, legacy', newStdio('legacy')],
  ['v2, auto', newStdio('auto')],
  ['v2, pinned to 2026-07-28', newStdio({ pin: MODERN })],
];

/** The structured result of `execute_python`. @throws Error when the tool could not do its job. */
export async function runPythonBy(
  client: StockClient,
  code: string,
  args: Record<string, unknown> = {},
  options?: CallOptions,
): Promise<Execution> {
  const answer = await client.call('execute_python', { code, ...args }, options);
  if (answer.isError) throw new Error(textOf(answer));
  return answer.structuredContent as unknown as Execution;
}

export function textOf(answer: CallAnswer): string {
  return answer.content.map(({ text }) => text).join('\n');
}
