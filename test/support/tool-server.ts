import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { getRequestListener } from '@hono/node-server';
import {
  type CallToolResult,
  createMcpHandler,
  isInitializeRequest,
  type McpServerFactory,
  Server,
  type ServerContext,
  type Tool,
  WebStandardStreamableHTTPServerTransport,
} from '@modelcontextprotocol/server';

/** A tool of a server of a test: what it lists, and what it does. */
export interface OfferedTool extends Omit<Tool, 'inputSchema'> {
  readonly inputSchema?: Tool['inputSchema'];
  readonly run: (args: Record<string, unknown>, context: ServerContext) => Promise<CallToolResult> | CallToolResult;
}

export interface ToolServerOptions {
  /** Asked anew for each request, so that a test can change them. */
  readonly tools: () => readonly OfferedTool[];
  /** Generations of the protocol that it speaks. Default: both. */
  readonly speaks?: 'modern' | 'legacy' | 'both';
  /** Answers a request in place of MCP, if it wants to. */
  readonly intercept?: (request: IncomingMessage, response: ServerResponse) => boolean;
  /** Whether it says that it has tools at all. Default: yes. */
  readonly withTools?: boolean;
  /** Resources by address. */
  readonly resources?: Readonly<Record<string, string>>;
}

export interface RunningToolServer extends AsyncDisposable {
  readonly url: string;
  /** Requests so far, without bodies. */
  readonly requests: IncomingMessage[];
  /** Ends all sessions, as a restart does. */
  forget(): void;
  /** Tells those who listen that the tools have changed. */
  toolsChanged(): Promise<void>;
}

/** A result of one text. */
export function textResult(text: string): CallToolResult {
  return { content: [{ type: 'text', text }] };
}

/** A real MCP server over HTTP on a free port of this host. */
export async function startToolServer(options: ToolServerOptions): Promise<RunningToolServer> {
  const { speaks = 'both', intercept } = options;
  const make: McpServerFactory = () => makeServer(options);
  const modern = createMcpHandler(make, { legacy: 'reject' });
  const sessions = new Map<string, { transport: WebStandardStreamableHTTPServerTransport; server: Server }>();
  const requests: IncomingMessage[] = [];

  const serve = async (request: Request): Promise<Response> => {
    const text = request.method === 'POST' ? await request.text() : '';
    const parsedBody: unknown = text === '' ? undefined : JSON.parse(text);
    const isModern = request.headers.get('mcp-protocol-version') === '2026-07-28';
    if (isModern && speaks !== 'legacy') return await modern.fetch(request, { parsedBody });
    if (speaks === 'modern') return await modern.fetch(request, { parsedBody });
    const id = request.headers.get('mcp-session-id');
    const known = id === null ? undefined : sessions.get(id);
    if (known) return await known.transport.handleRequest(request, parsedBody === undefined ? {} : { parsedBody });
    if (id !== null) return Response.json(rpcError(-32_001, 'Session not found'), { status: 404 });
    if (!isInitializeRequest(parsedBody)) return Response.json(rpcError(-32_000, 'Not initialized'), { status: 400 });
    const server = makeServer(options);
    const transport = new WebStandardStreamableHTTPServerTransport({
      sessionIdGenerator: () => crypto.randomUUID(),
      onsessioninitialized: (made) => void sessions.set(made, { transport, server }),
    });
    await server.connect(transport);
    return await transport.handleRequest(request, { parsedBody });
  };

  const listener = getRequestListener(serve, { overrideGlobalObjects: false });
  const http = createServer((request, response) => {
    requests.push(request);
    if (!intercept?.(request, response)) void listener(request, response);
  });
  await new Promise<void>((resolve) => void http.listen(0, '127.0.0.1', resolve));
  const { port } = http.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/mcp`,
    requests,
    forget: () => sessions.clear(),
    toolsChanged: async () => {
      modern.notify.toolsChanged();
      for (const { server } of sessions.values()) await server.sendToolListChanged();
    },
    [Symbol.asyncDispose]: async () => {
      http.closeAllConnections();
      await new Promise((resolve) => void http.close(resolve));
    },
  };
}

function makeServer({ tools, resources, withTools = true }: ToolServerOptions): Server {
  const capabilities = {
    ...(withTools ? { tools: { listChanged: true } } : {}),
    ...(resources ? { resources: {} } : {}),
  };
  const server = new Server({ name: 'of-a-test', version: '1' }, { capabilities });
  if (!withTools) return server;
  server.setRequestHandler('tools/list', () => ({
    tools: tools().map(({ run: _run, inputSchema = { type: 'object' as const }, ...tool }) => ({
      ...tool,
      inputSchema,
    })),
  }));
  server.setRequestHandler('tools/call', async ({ params }, context) => {
    const tool = tools().find(({ name }) => name === params.name);
    if (!tool) throw new Error(`no tool ${params.name}`);
    return await tool.run(params.arguments ?? {}, context);
  });
  if (resources) {
    server.setRequestHandler('resources/read', ({ params: { uri } }) => ({
      contents: [{ uri, mimeType: 'text/plain', text: resources[uri] ?? '' }],
    }));
  }
  return server;
}

function rpcError(code: number, message: string) {
  return { jsonrpc: '2.0', id: null, error: { code, message } };
}
