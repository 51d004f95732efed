import { setTimeout as delay } from 'node:timers/promises';
import {
  Client,
  type JsonSchemaValidator,
  type jsonSchemaValidator,
  SdkHttpError,
  // biome-ignore lint/suspicious/noDeprecatedImports: servers that speak only the oldest form are still in use.
  SSEClientTransport,
  StreamableHTTPClientTransport,
} from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import type { Access, ToolServer } from '../file/server-entry.ts';
import type { JsonObject } from '../types.ts';
import { bounded, endless, type RequestLimits, tooLarge, type Within } from './bounded.ts';
import type { UpstreamHosts } from './fetch.ts';
import { traceToolCall } from './traced-call.ts';

export type ListedTool = Awaited<ReturnType<Client['listTools']>>['tools'][number];
export type CallResult = Awaited<ReturnType<Client['callTool']>>;
export type ReadResult = Awaited<ReturnType<Client['readResource']>>;
type AnyTransport = StreamableHTTPClientTransport | SSEClientTransport | StdioClientTransport;

const MIB = 1024 * 1024;
/** Time to connect, in milliseconds. A command may have to install itself first. */
const CONNECT_MS = { http: 30_000, stdio: 120_000 };
/** Time in milliseconds for a command to answer whether it speaks the newest protocol. Older ones may not answer. */
const PROBE_MS = 10_000;
/** Time in milliseconds for a server to take note of the end of its session. */
const FAREWELL_MS = 1000;
/** Size of all that a server says while it is connected to, and of its list of tools. */
const CATALOG_BYTES = 8 * MIB;
const CATALOG_PAGES = 64;
/** Bytes that a server may send without being asked, such as notifications of changes, between two requests. */
const UNASKED_BYTES = 16 * MIB;

export interface ConnectionOptions {
  readonly server: ToolServer;
  /** With its secrets filled in. */
  readonly access: Access;
  readonly hosts: UpstreamHosts;
  readonly version: string;
  /** Called when the server says that its tools have changed. */
  readonly onToolsChanged: () => void;
  /** Called once it is closed, by whichever side. */
  readonly onClosed: () => void;
  /** Called with what a command writes to stderr. */
  readonly onStderr: (text: string) => void;
}

/** A connection to one server, with one set of credentials. Errors are those of the SDK, or a ToolFailure. */
export class Connection {
  readonly #client: Client;
  readonly #transport: AnyTransport;
  readonly #server: ToolServer;
  /** Whether a command has sent more than fits into the buffer for one answer. Its connection is closed then. */
  #isFlooded = false;

  constructor(client: Client, transport: AnyTransport, server: ToolServer) {
    this.#client = client;
    this.#transport = transport;
    this.#server = server;
    client.onerror = ({ message }) => {
      this.#isFlooded ||= /exceeded maximum size/.test(message);
    };
  }

  static async open(options: ConnectionOptions, signal: AbortSignal): Promise<Connection> {
    const { access } = options;
    if (access.kind !== 'auto') return await connect(options, access.kind, signal);
    try {
      return await connect(options, 'http', signal);
    } catch (error) {
      // A server of the first protocol knows no POST to that address.
      if (!(error instanceof SdkHttpError && [400, 404, 405].includes(error.status ?? 0))) throw error;
      return await connect(options, 'sse', signal).catch(() => {
        throw error;
      });
    }
  }

  /** Lists the tools of all pages. @throws ToolFailure `limit` when there is no end to them */
  async listTools(signal: AbortSignal): Promise<readonly ListedTool[]> {
    if (!this.#client.getServerCapabilities()?.tools) return [];
    const limits = { signal, timeoutMs: Math.min(this.#server.timeoutMs, CONNECT_MS.http) };
    return await this.#within(limits, 'list of tools', CATALOG_BYTES, async (within) => {
      const tools: ListedTool[] = [];
      let cursor: string | undefined;
      for (let page = 0; page < CATALOG_PAGES; page += 1) {
        // Not the client's own `listTools`: it writes to stdout of a server without tools, and names of tools to stderr.
        const params = cursor === undefined ? {} : { cursor };
        const answer = await this.#client.request({ method: 'tools/list', params }, within);
        tools.push(...answer.tools);
        cursor = answer.nextCursor;
        if (cursor === undefined) return tools;
      }
      throw endless(this.#server.name);
    });
  }

  /** @param tool as the server has listed it: some arguments have to be sent as headers as well */
  async callTool(tool: ListedTool, args: JsonObject, limits: RequestLimits): Promise<CallResult> {
    return await traceToolCall(this.#server, tool.name, (fields) => {
      const params = { name: tool.name, arguments: { ...args }, ...(fields ? { _meta: { ...fields } } : {}) };
      return this.#within(limits, 'answer', this.#server.maxResultBytes, (within) =>
        this.#client.callTool(params, { ...within, toolDefinition: tool }),
      );
    });
  }

  async readResource(uri: string, limits: RequestLimits): Promise<ReadResult> {
    return await this.#within(limits, 'answer', this.#server.maxResultBytes, (within) =>
      this.#client.readResource({ uri }, { ...within, cacheMode: 'bypass' }),
    );
  }

  /** Whether an error says that the server no longer knows this connection, and so has done nothing. */
  isForgotten(error: unknown): boolean {
    if (!(this.#transport instanceof StreamableHTTPClientTransport) || !this.#transport.sessionId) return false;
    if (!(error instanceof SdkHttpError)) return false;
    return error.status === 404 || (error.status === 400 && /session/i.test(error.message));
  }

  async close(): Promise<void> {
    if (this.#transport instanceof StreamableHTTPClientTransport) {
      // A server of sessions keeps this one until it is told, or tires of it.
      await Promise.race([
        this.#transport.terminateSession().catch(() => {}),
        delay(FAREWELL_MS, undefined, { ref: false }),
      ]);
    }
    await this.#client.close();
  }

  async #within<T>(
    limits: RequestLimits,
    what: string,
    bytes: number,
    work: (within: Within) => Promise<T>,
  ): Promise<T> {
    const { name: server } = this.#server;
    const answersOnRequest = this.#transport instanceof StreamableHTTPClientTransport;
    try {
      return await bounded(limits, { server, what, bytes, answersOnRequest }, work);
    } catch (error) {
      throw this.#isFlooded ? tooLarge(server, what, bytes) : error;
    }
  }
}

async function connect(
  options: ConnectionOptions,
  kind: 'http' | 'sse' | 'stdio',
  signal: AbortSignal,
): Promise<Connection> {
  const { server } = options;
  const client = makeClient(options, kind);
  const transport = makeTransport(options, kind, () => void client.close().catch(() => {}));
  client.onclose = options.onClosed;
  const timeoutMs = CONNECT_MS[kind === 'stdio' ? 'stdio' : 'http'];
  try {
    const bounds = { server: server.name, bytes: CATALOG_BYTES, what: 'greeting', answersOnRequest: kind === 'http' };
    await bounded({ signal, timeoutMs }, bounds, (within) => client.connect(transport, within));
    return new Connection(client, transport, server);
  } catch (error) {
    // While it negotiates, the client does not own the transport yet.
    await Promise.allSettled([client.close(), transport.close()]);
    throw error;
  }
}

/** The schema of a hostile server would keep this process busy: a pattern can take hours for a short text. */
const UNCHECKED: jsonSchemaValidator = {
  getValidator<T>(): JsonSchemaValidator<T> {
    return (input) => ({ valid: true, data: input as T, errorMessage: undefined });
  },
};

function makeClient({ version, onToolsChanged }: ConnectionOptions, kind: string): Client {
  const identity = { name: 'glovebox', version };
  return new Client(identity, {
    // No roots, sampling or elicitation: a server that asks for them is refused.
    capabilities: {},
    inputRequired: { autoFulfill: false },
    versionNegotiation: { mode: 'auto', ...(kind === 'stdio' ? { probe: { timeoutMs: PROBE_MS } } : {}) },
    listChanged: { tools: { autoRefresh: false, onChanged: onToolsChanged } },
    jsonSchemaValidator: UNCHECKED,
  });
}

function makeTransport(options: ConnectionOptions, kind: 'http' | 'sse' | 'stdio', abandon: () => void): AnyTransport {
  const { access, hosts, server, onStderr } = options;
  if (access.kind === 'stdio') {
    const { command, args, env, cwd } = access;
    const place = cwd === undefined ? {} : { cwd };
    const parameters = { command, args: [...args], env: { ...env }, ...place, stderr: 'pipe' as const };
    // More than an answer may have: what is a little too large ends its call, and not the command.
    const transport = new StdioClientTransport({ ...parameters, maxBufferSize: server.maxResultBytes * 2 + MIB });
    transport.stderr?.on('data', (chunk: Buffer) => onStderr(chunk.toString('utf8')));
    return transport;
  }
  const { headers } = access;
  const unasked = Math.max(UNASKED_BYTES, server.maxResultBytes + MIB);
  const url = new URL(access.url);
  const shared = { fetch: hosts.fetchFor(unasked, abandon), requestInit: { headers: { ...headers } } };
  return kind === 'sse' ? new SSEClientTransport(url, shared) : new StreamableHTTPClientTransport(url, shared);
}
