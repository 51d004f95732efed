import { McpServer, ProtocolError, ProtocolErrorCode } from '@modelcontextprotocol/server';
import { nearest } from '../lib/nearest.ts';
import type { Log } from '../log.ts';
import type { Sessions } from '../sessions/sessions.ts';
import type { Snapshots } from '../sessions/snapshots.ts';
import type { AnyTool } from '../tools/description.ts';
import type { Connection } from './connection.ts';
import { addFileResources, FILES_HINT } from './resources.ts';
import { type Fallback, type McpTool, toMcpTool } from './tool.ts';

export interface McpOptions {
  /** Listed in this order. */
  readonly tools: readonly AnyTool[];
  readonly sessions: Sessions;
  readonly snapshots: Snapshots;
  readonly version: string;
  /** How to use the server, for the model. */
  readonly instructions: string;
  /** Both new ones if left out. */
  readonly fallback?: Fallback;
  readonly log: Log;
  /** For conformance tests: adds prompts, resources and the like to each server made, and more tools. */
  readonly extend?: (server: McpServer) => readonly McpTool[];
}

/** The tools are fixed while the process lives. */
const LIST_HINT = { ttlMs: 3_600_000, cacheScope: 'public' } as const;

export interface McpServers {
  /** A fresh server for one connection: sharing one between requests leaks and mixes them up (typescript-sdk#2607). */
  make(connection: Connection): McpServer;
  /** Lets calls know how fast the client of a request reads. */
  watch(request: Request, isSlow: () => boolean): void;
  /** Says that a connection has ended: what it was bound to need not be kept for it as long. */
  release(connection: Connection): void;
  readonly log: Log;
}

export function createMcpServers(options: McpOptions): McpServers {
  const slowness = new WeakMap<Request, () => boolean>();
  const world = {
    sessions: options.sessions,
    snapshots: options.snapshots,
    fallback: options.fallback ?? ({ connection: 'new', request: 'new' } as const),
    log: options.log,
    isSlow: (request: Request | undefined) => (request && slowness.get(request)?.()) ?? false,
  };
  const tools = options.tools.map((tool) => toMcpTool(tool, world));
  return {
    make: (connection) => makeServer(options, tools, connection),
    watch: (request, isSlow) => void slowness.set(request, isSlow),
    release: ({ owner, binding }) => {
      if (binding?.sessionId) options.sessions.disconnected(owner, binding.sessionId);
    },
    log: options.log,
  };
}

function makeServer(options: McpOptions, tools: readonly McpTool[], connection: Connection): McpServer {
  const server = new McpServer(
    { name: 'glovebox', title: 'Glovebox', version: options.version },
    {
      capabilities: { tools: { listChanged: false }, resources: { listChanged: false } },
      instructions: options.instructions,
      cacheHints: {
        'tools/list': LIST_HINT,
        'server/discover': LIST_HINT,
        'resources/templates/list': LIST_HINT,
        'resources/list': FILES_HINT,
        'resources/read': FILES_HINT,
      },
    },
  );
  addFileResources(server, options.sessions, connection);
  const all = options.extend ? [...tools, ...options.extend(server)] : tools;
  // Not `registerTool`: it converts every schema again for every server, checks input in words of
  // its own, and does not say which tools there are when one is unknown.
  server.server.setRequestHandler('tools/list', () => ({ tools: all.map((tool) => tool.listed) }));
  server.server.setRequestHandler('tools/call', ({ params }, context) => {
    const tool = all.find(({ listed }) => listed.name === params.name);
    if (!tool) throw unknownTool(params.name, all);
    return tool.call(params.arguments, context, connection, server.server.getNegotiatedProtocolVersion());
  });
  server.server.onerror = (error) =>
    options.log.debug('MCP protocol error.', { owner: connection.owner, cause: error });
  return server;
}

function unknownTool(name: string, tools: readonly McpTool[]): ProtocolError {
  const short = name.slice(0, 64);
  const names = tools.map(({ listed }) => listed.name);
  const meant = nearest(short, names);
  return new ProtocolError(
    ProtocolErrorCode.InvalidParams,
    `There is no tool ${JSON.stringify(short)}.${meant ? ` Did you mean ${meant}?` : ''} Tools: ${names.join(', ')}.`,
  );
}
