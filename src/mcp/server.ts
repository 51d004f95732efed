import { McpServer, ProtocolError, ProtocolErrorCode, Server } from '@modelcontextprotocol/server';
import { nearest } from '../lib/nearest.ts';
import type { Log } from '../log.ts';
import type { Sessions } from '../sessions/sessions.ts';
import type { Snapshots } from '../sessions/snapshots.ts';
import type { OperationAudit } from '../tools/audit/operation.ts';
import type { AnyTool } from '../tools/description.ts';
import type { Connection } from './connection.ts';
import { HeldCalls } from './held-calls.ts';
import { openStates } from './request-state.ts';
import { addFileResources, FILES_HINT } from './resources.ts';
import { callTool, TASK_TIMES, type TaskCalls } from './tasks/call.ts';
import { ExecutionTasks } from './tasks/execution-tasks.ts';
import { listTools } from './tasks/list-tools.ts';
import { serveTasks } from './tasks/serve.ts';
import { type Fallback, type McpTool, toMcpTool } from './tool.ts';

export interface McpOptions {
  /** Keeps what callers do that is no tool. */
  readonly audit?: OperationAudit | undefined;
  /** Tools, in the order in which they are listed. */
  readonly tools: readonly AnyTool[];
  readonly sessions: Sessions;
  readonly snapshots: Snapshots;
  readonly version: string;
  /** Instructions for the model on how to use the server. */
  readonly instructions: string;
  /** What they say besides of what code of an owner may use: tools of other servers, and hosts. Undefined if there is nothing. */
  readonly ofOwner?: ((owner: string) => string) | undefined;
  /** Sessions of calls that name none; new sessions by default. */
  readonly fallback?: Fallback;
  readonly log: Log;
  /** Makes ids tell where the calls are that they stand for, where there are several servers. */
  readonly mark?: ((id: string) => string) | undefined;
  /** Tasks, and when calls become tasks; executions by default. */
  readonly tasks?: Partial<TaskCalls>;
  /** Hook for conformance tests: adds prompts, resources and tools to each server. */
  readonly extend?: (server: McpServer) => readonly McpTool[];
}

/** Cache hint for lists that do not change while the process runs. */
const LIST_HINT = { ttlMs: 3_600_000, cacheScope: 'public' } as const;

const OWN_HINT = { ...LIST_HINT, cacheScope: 'private' } as const;

export interface McpServers {
  /** Makes a server for one connection. A shared server would leak data between requests (typescript-sdk#2607). */
  make(connection: Connection): McpServer;
  /** Makes a server for a single tool call. It has nothing else, because a server is made for each modern request. */
  makeForCall(connection: Connection): McpServer | Server;
  /** Sets the function that tells whether the client of a request reads slowly. */
  watch(request: Request, isSlow: () => boolean): void;
  /** Reports the end of a connection, so that its session can be ended earlier. */
  release(connection: Connection): void;
  readonly log: Log;
}

export function createMcpServers(options: McpOptions): McpServers {
  const slowness = new WeakMap<Request, () => boolean>();
  const dependencies = {
    sessions: options.sessions,
    snapshots: options.snapshots,
    fallback: options.fallback ?? ({ connection: 'new', request: 'new' } as const),
    log: options.log,
    held: new HeldCalls(),
    states: openStates(options.mark),
    isSlow: (request: Request | undefined) => (request && slowness.get(request)?.()) ?? false,
  };
  const tools = options.tools.map((tool) => toMcpTool(tool, dependencies));
  const tasks = { source: new ExecutionTasks(options.sessions, options.audit), times: TASK_TIMES, ...options.tasks };
  const parts = { ...options, tasks };
  return {
    make: (connection) => makeServer(parts, tools, connection),
    makeForCall: (connection) =>
      options.extend ? makeServer(parts, tools, connection) : makeCallServer(parts, tools, connection),
    watch: (request, isSlow) => void slowness.set(request, isSlow),
    release: ({ owner, binding }) => {
      if (binding?.sessionId) options.sessions.disconnected(owner, binding.sessionId);
    },
    log: options.log,
  };
}

const CAPABILITIES = { tools: { listChanged: false }, resources: { listChanged: false } } as const;

function identityOf({ version }: McpOptions) {
  return { name: 'glovebox', title: 'Glovebox', version };
}

type Parts = McpOptions & { readonly tasks: TaskCalls };

function makeCallServer(options: Parts, tools: readonly McpTool[], connection: Connection): Server {
  const server = new Server(identityOf(options), { capabilities: CAPABILITIES });
  serveCalls(server, options, tools, connection);
  return server;
}

function makeServer(options: Parts, tools: readonly McpTool[], connection: Connection): McpServer {
  const server = new McpServer(identityOf(options), {
    capabilities: CAPABILITIES,
    instructions: [options.instructions, options.ofOwner?.(connection.owner)].filter(Boolean).join('\n'),
    cacheHints: {
      'tools/list': LIST_HINT,
      // With the instructions, of which a part is the owner's own.
      'server/discover': options.ofOwner ? OWN_HINT : LIST_HINT,
      'resources/templates/list': LIST_HINT,
      'resources/list': FILES_HINT,
      'resources/read': FILES_HINT,
    },
  });
  addFileResources(server, options.sessions, connection);
  const all = options.extend ? [...tools, ...options.extend(server)] : tools;
  // Not `registerTool`: it converts every schema again for every server, has its own messages for invalid input, and
  // does not list the tools when one is unknown.
  server.server.setRequestHandler('tools/list', () => ({ tools: listTools(all, server.server) }));
  serveCalls(server.server, options, all, connection);
  return server;
}

function serveCalls(
  server: McpServer['server'],
  { log, tasks }: Parts,
  tools: readonly McpTool[],
  connection: Connection,
): void {
  const underway = new Set<string>();
  server.setRequestHandler('tools/call', ({ params }, context) => {
    const tool = tools.find(({ listed }) => listed.name === params.name);
    if (!tool) throw unknownTool(params.name, tools);
    return callTool(tasks, { server, tool, params, context, connection, underway });
  });
  serveTasks(server, tasks.source, connection, underway);
  server.onerror = (error) => log.debug('MCP protocol error.', { owner: connection.owner, cause: error });
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
