import { z } from 'zod';
import type { ArchiveStore } from '../../src/archives/store.ts';
import { GloveboxError } from '../../src/errors.ts';
import { type AppOptions, createApp, toListener } from '../../src/http/app.ts';
import { createAuthenticator } from '../../src/http/auth/auth.ts';
import { listen } from '../../src/http/listen.ts';
import { createUpgrades } from '../../src/http/terminals/upgrades.ts';
import { createLog, type Log } from '../../src/log.ts';
import { createHttpSse } from '../../src/mcp/http-sse.ts';
import { createMcpServers, type McpOptions } from '../../src/mcp/server.ts';
import { createStreamableHttp } from '../../src/mcp/streamable-http.ts';
import { RecentExecutions } from '../../src/sessions/recent-executions.ts';
import type { Sessions } from '../../src/sessions/sessions.ts';
import { Snapshots } from '../../src/sessions/snapshots.ts';
import type { Tool, ToolContext } from '../../src/tools/tool.ts';

interface EchoInput {
  text: string;
  session_id?: string | undefined;
}

// No interface: a tool's output may have any fields.
type EchoOutput = { session_id: string; text: string };

export type EchoTool = Tool<EchoInput, EchoOutput>;

/** A tool that does what a test wants; on its own it answers with its text and the session it was in. */
export function echoTool(
  handle: (input: EchoInput, context: ToolContext) => Promise<EchoOutput> = async (input, context) => ({
    session_id: resolveSession(input, context),
    text: input.text,
  }),
): EchoTool {
  return {
    name: 'echo',
    title: 'Echo',
    description: 'Answers with its text.',
    effect: 'changes',
    input: z.strictObject({ text: z.string().describe('What to say.'), session_id: z.string().optional() }),
    output: z.object({ session_id: z.string(), text: z.string() }),
    handle,
    summarize: ({ session_id, text }) => `${text}\nsession ${session_id}`,
  };
}

let made = 0;

/** The way a call finds its session, as the real tools have it. */
export function resolveSession(input: EchoInput, { caller }: ToolContext): string {
  const bound = input.session_id ?? caller.sessionHeader ?? caller.binding?.sessionId;
  if (bound === undefined) made += 1;
  const id = bound ?? (caller.fallback === 'owner' ? 'default' : `gbx_${made}`);
  if (caller.binding) caller.binding.sessionId = id;
  return id;
}

/** Sessions that exist in name only. */
export function fakeSessions(): Sessions {
  const all = new Map<string, string>();
  const summary = (session_id: string) => {
    const now = new Date(0).toISOString();
    return { session_id, created_at: now, last_used_at: now, expires_at: now, running: 0 };
  };
  const check = (owner: string, id: string) => {
    if (all.get(id) !== owner) throw new GloveboxError('session_not_found', 'Unknown or expired session.');
  };
  const sessions = {
    get count() {
      return all.size;
    },
    create: async (owner: string, name = `gbx_${all.size}`) => {
      const created = !all.has(name);
      all.set(name, owner);
      return { session: summary(name), created };
    },
    list: (owner: string) => [...all].filter(([, whose]) => whose === owner).map(([id]) => summary(id)),
    describe: async (owner: string, id: string) => {
      check(owner, id);
      return summary(id);
    },
    close: async (owner: string, id: string) => {
      check(owner, id);
      all.delete(id);
    },
    usageOf: () => ({ cpuMs: 0, peakMemoryBytes: 0 }),
    recent: new RecentExecutions(),
    disconnected: () => {},
  };
  return sessions as unknown as Sessions;
}

/** There are none, nor can one be made. */
export function fakeSnapshots(): Snapshots {
  const store: Partial<ArchiveStore> = { records: async () => [] };
  return new Snapshots(fakeSessions(), store as ArchiveStore);
}

export interface ProtocolServerOptions {
  tools?: McpOptions['tools'];
  extend?: McpOptions['extend'];
  tasks?: McpOptions['tasks'];
  app?: Partial<AppOptions>;
  legacy?: { idleTtlMs?: number; maxSessionsPerOwner?: number; maxSessions?: number };
  log?: Log;
  mark?: (id: string) => string;
  /** Tools over MCP, if others than over REST. */
  mcpTools?: McpOptions['tools'];
}

/** Everything between the wire and the tools, on a free loopback port. */
export async function startProtocolServer(options: ProtocolServerOptions = {}) {
  const { tools = [echoTool()], log = createLog('error'), extend, tasks, mark } = options;
  const shared = { tools, sessions: fakeSessions(), snapshots: fakeSnapshots(), version: '0.0.0', log };
  const hooks = { ...(extend ? { extend } : {}), ...(tasks ? { tasks } : {}), mark };
  const servers = createMcpServers({
    ...shared,
    tools: options.mcpTools ?? tools,
    instructions: 'Say something.',
    ...hooks,
  });
  const streamable = createStreamableHttp(servers, {
    idleTtlMs: 60_000,
    maxSessionsPerOwner: 100,
    maxSessions: 100,
    mark,
    ...options.legacy,
  });
  const sse = createHttpSse(servers, { maxSessionsPerOwner: 10, maxSessions: 15, messagesPath: '/messages', mark });
  const app = createApp({
    ...shared,
    fallback: 'owner',
    closing: new AbortController().signal,
    stopping: new AbortController().signal,
    diskMb: 1,
    health: async (deep) => ({ ok: true, body: { status: 'ok', deep } }),
    authenticate: createAuthenticator(),
    allowedHosts: [],
    allowedOrigins: [],
    maxBodyBytes: 1_000_000,
    mcp: { streamable: streamable.handle, sse: sse.open, messages: sse.post },
    ...options.app,
  });
  const listening = await listen({ host: '127.0.0.1', port: 0 });
  const upgrades = createUpgrades({
    fetch: (request, env) => app.fetch(request, env),
    log,
    closing: new AbortController().signal,
  });
  listening.serve(toListener(app), upgrades);
  return {
    app,
    url: listening.url,
    port: listening.port,
    streamable,
    [Symbol.asyncDispose]: async () => {
      await streamable.close();
      await sse.close();
      await listening.close();
    },
  };
}
