import { openWebhook } from './approvals/webhook.ts';
import { type AuditLog, openAuditLog } from './audit/audit-log.ts';
import type { Config } from './config/load.ts';
import { serverStopping, toGloveboxError } from './errors.ts';
import type { Glovebox } from './glovebox.ts';
import type { KeptCalls } from './http/api/execute.ts';
import type { ServerInfo } from './http/api/server-info.ts';
import { createApp, toListener } from './http/app.ts';
import { createApproverFinder, createAuthenticator, NO_KEYS } from './http/auth/auth.ts';
import type { Login } from './http/auth/jwt/login.ts';
import { addFirstKey, approversFile } from './http/auth/key-file.ts';
import { KeyRing } from './http/auth/key-ring.ts';
import { createPage } from './http/dashboard/page.ts';
import { PAGE_FOLDER, readPageFiles } from './http/dashboard/page-files.ts';
import { EventStreams } from './http/event-streams.ts';
import { type CallLedger, IdempotencyKeys } from './http/idempotency.ts';
import type { Listening } from './http/listen.ts';
import { Peers, type PeersOptions } from './http/peers/peers.ts';
import { createUpgrades } from './http/terminals/upgrades.ts';
import { aborted } from './lib/deadline.ts';
import type { Finding } from './lib/finding.ts';
import { RequestRate } from './lib/request-rate.ts';
import type { Log } from './log.ts';
import { createHttpSse } from './mcp/http-sse.ts';
import type { McpOptions } from './mcp/server.ts';
import { createStreamableHttp } from './mcp/streamable-http.ts';
import { createMcp, createToolsFor, fallbackOf, maxRequestBytes } from './mcp-tools.ts';
import { openMetrics } from './server-metrics.ts';
import type { Telemetry } from './telemetry/telemetry.ts';
import { auditTools } from './tools/audit/audited.ts';
import { auditEnds } from './tools/audit/ends.ts';
import type { AnyTool } from './tools/description.ts';
import { version } from './version.ts';

/** Most open MCP sessions of older protocol versions. Clients often leave them open. */
const CONNECTIONS = { maxSessionsPerOwner: 1000, maxSessions: 2000 };
/** Time for running requests to end when the server stops, in milliseconds. After that, they are cancelled. */
const SHUTDOWN_GRACE_MS = 2000;
/** Time for cancelled requests to be answered, in milliseconds. */
const CANCEL_GRACE_MS = 3000;
const CLOSE_MS = SHUTDOWN_GRACE_MS + CANCEL_GRACE_MS;

export interface ServeOptions {
  readonly log: Log;
  /** Where requests come, and wait until they are served. */
  readonly listening: Listening;
  /** Keys that callers must send. Without it and `login`, all callers are the same owner. */
  readonly keys?: KeyRing | undefined;
  /** Where callers log in, whose tokens they send; default: nowhere. */
  readonly login?: Login | undefined;
  /** The other servers of the service, where there may be any; default: this is the only one. */
  readonly group?: PeersOptions | undefined;
  /** Called with the URLs when requests are served, and with the key that was created because there was none. */
  readonly onServing: (urls: readonly string[], firstKey?: string) => void;
  /** Checks what the server needs, for `GET /doctor`. */
  readonly examine: () => Promise<readonly Finding[]>;
  /** Where metrics are reported to; default: nowhere. */
  readonly telemetry?: Pick<Telemetry, 'exportMetrics'> | undefined;
  /** Stops the server when it aborts. */
  readonly signal: AbortSignal;
  /** Adds prompts, resources and tools to each MCP server; for conformance tests. */
  readonly extendMcp?: McpOptions['extend'];
}

/** Serves REST and MCP over HTTP until the signal aborts. */
export async function serve(
  glovebox: Glovebox,
  config: Config,
  { log, listening, keys, login, group, onServing, examine, telemetry, signal, extendMcp }: ServeOptions,
): Promise<void> {
  await using audit = await openAuditLog(config, glovebox.instance, log);
  const tools = createToolsFor(config, glovebox);
  using approvers = KeyRing.open(approversFile(config.apiKeysFile), log, { mayBeEmpty: true, right: 'approve' });
  const { approvals } = glovebox;
  using counting = openMetrics(glovebox, { audit, login, telemetry });
  using _kept = auditEnds(glovebox.sessions.ends, audit);
  const toolsOver = (transport: 'rest' | 'mcp') =>
    counting.calls.countTools(auditTools(tools, audit, transport), transport);
  using webhook = openWebhook(config.approvalWebhook, config.approvalWebhookSecret, log);
  approvals.answerWith({
    // Any user of the identity provider may get a token for that.
    mayAnswer: (owner) => login !== undefined || approvers.mayAnswer(owner),
    notify: (question) => void webhook?.send(question),
  });
  const kept = keepCalls(glovebox, (id) => peers?.mark(id) ?? id);
  await using peers = group && openPeers({ ...group, glovebox, config, tools, kept, log });
  const mcp = openMcp(glovebox, config, { tools: toolsOver('mcp'), audit, log, peers, extendMcp });
  const stopping = new AbortController();
  const app = createApp({
    closing: signal,
    stopping: stopping.signal,
    ...{ peers, kept, audit, approvals, version, log, login },
    tools: toolsOver('rest'),
    sessions: glovebox.sessions,
    snapshots: glovebox.snapshots,
    diskMb: config.diskMb,
    fallback: config.defaultSession ?? 'owner',
    serverInfo: describeServer(glovebox, config, examine, (keys ?? login) !== undefined),
    page: createPage(() => readPageFiles(PAGE_FOLDER)),
    health: (deep) => checkHealth(glovebox, deep),
    missing: () => glovebox.missing.map(({ name }) => name),
    metrics: counting.metrics,
    authenticate: createAuthenticator(keys ?? (login && NO_KEYS)),
    findApprover: createApproverFinder(approvers),
    ...(config.requestsPerMinute > 0 ? { requestRate: new RequestRate(config.requestsPerMinute) } : {}),
    allowedHosts: config.allowedHosts,
    allowedOrigins: config.allowedOrigins,
    maxBodyBytes: maxRequestBytes(config),
    mcp: mcp.handlers,
  });
  const upgrades = createUpgrades({ fetch: (request, env) => app.fetch(request, env), log, closing: signal });
  listening.serve(toListener(app), upgrades);
  peers?.serve(app, signal);
  // Last, because a new key would be lost if the server then did not start.
  const { apiKeysFile, firstKey } = config;
  onServing(listening.urls, keys && firstKey !== undefined ? addFirstKey(apiKeysFile, firstKey) : undefined);

  await aborted(signal);
  setTimeout(() => stopping.abort(serverStopping()), SHUTDOWN_GRACE_MS).unref();
  const ended = Promise.all([listening.close(CLOSE_MS), peers?.close(CLOSE_MS)]);
  await Promise.all([glovebox.decideShutdown(), mcp.close(), ended]);
}

interface McpParts {
  readonly tools: readonly AnyTool[];
  readonly audit: AuditLog | undefined;
  readonly log: Log;
  readonly peers: Peers | undefined;
  readonly extendMcp: McpOptions['extend'] | undefined;
}

/** Serves MCP over both of its transports on HTTP. */
function openMcp(glovebox: Glovebox, config: Config, { tools, audit, log, peers, extendMcp }: McpParts) {
  const mark = peers?.mark;
  const kept = audit && ({ audit, transport: 'mcp' } as const);
  const parts = { audit: kept, extend: extendMcp, mark };
  const mcp = createMcp(glovebox, config, log, peers?.forwardTools(tools) ?? tools, parts);
  const streamable = createStreamableHttp(mcp, { idleTtlMs: config.idleTtlS * 1000, mark, ...CONNECTIONS });
  const sse = createHttpSse(mcp, { ...CONNECTIONS, mark, messagesPath: '/messages' });
  return {
    handlers: { streamable: streamable.handle, sse: sse.open, messages: sse.post },
    close: async () => void (await Promise.all([streamable.close(), sse.close()])),
  };
}

/** Places for calls that are kept by their keys. */
function keepCalls(glovebox: Glovebox, mark: (id: string) => string): KeptCalls {
  const ledger: CallLedger = {
    beginCall: async (call) => await glovebox.calls.beginCall(call),
    forgetCall: async (owner, key) => await glovebox.calls.forgetCall(owner, key),
  };
  return { streams: new EventStreams({ mark }), keys: new IdempotencyKeys(ledger), ledger };
}

interface Parts {
  readonly glovebox: Glovebox;
  readonly config: Config;
  readonly tools: readonly AnyTool[];
  readonly kept: KeptCalls;
  readonly log: Log;
}

function openPeers({ glovebox, config, kept, ...options }: PeersOptions & Parts): Peers {
  const { sessions, approvals } = glovebox;
  return new Peers({
    ...options,
    has: (owner, { kind, id }) => {
      if (kind === 'approval') return approvals.has(id);
      if (kind === 'idempotency_key') return kept.streams.has(owner, id) || kept.keys.has(owner, id);
      return sessions.held.find(owner, id) !== undefined || sessions.tasks.hasExecution(owner, id);
    },
    fallback: { rest: config.defaultSession ?? 'owner', mcp: fallbackOf(config).request },
  });
}

/** What callers may know: nothing of other owners, and no path of this host. */
function describeServer(
  glovebox: Glovebox,
  config: Config,
  examine: ServerInfo['examine'],
  needsKey: boolean,
): ServerInfo {
  return {
    limits: {
      memory_mb: config.memoryMb,
      cpus: config.cpus,
      disk_mb: config.diskMb,
      pids: config.pids,
      exec_timeout_s: config.execTimeoutS,
      max_timeout_s: config.maxTimeoutS,
      install_timeout_s: config.installTimeoutS,
      idle_ttl_s: config.idleTtlS,
      max_sessions: config.maxSessions,
      max_executions: config.maxExecutions,
    },
    needsKey,
    cacheBytes: () => glovebox.figures.packages?.cacheBytes,
    missing: () => glovebox.missing.map(({ name }) => name),
    cacheLimitBytes: config.cacheMb * 2 ** 20,
    examine,
  };
}

async function checkHealth(glovebox: Glovebox, deep: boolean): Promise<{ ok: boolean; body: object }> {
  try {
    return { ok: true, body: { status: 'ok', ...(await glovebox.health(deep)), version } };
  } catch (thrown) {
    return { ok: false, body: { status: 'unavailable', error: toGloveboxError(thrown).toBody(), version } };
  }
}
