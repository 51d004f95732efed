import { cpus } from 'node:os';
import type { Config } from './config/load.ts';
import { checkEngine } from './engines/docker/connect/check-engine.ts';
import { connectEngine, findEngine } from './engines/docker/connect/connect.ts';
import { DockerEngine } from './engines/docker/engine.ts';
import { ensureImage } from './engines/docker/images/sandbox-image.ts';
import { installEngine } from './engines/docker/install/install.ts';
import { serverStopping, toGloveboxError } from './errors.ts';
import { Glovebox, type GloveboxOptions } from './glovebox.ts';
import { ServerMetrics } from './http/api/metrics.ts';
import { createApp } from './http/app.ts';
import { createAuthenticator, LOCAL_OWNER } from './http/auth/auth.ts';
import { addFirstKey } from './http/auth/key-file.ts';
import { KeyRing } from './http/auth/key-ring.ts';
import { watchEventLoop } from './http/event-loop.ts';
import { listen } from './http/listen.ts';
import { RequestRate } from './http/request-rate.ts';
import type { Log } from './log.ts';
import { createHttpSse } from './mcp/http-sse.ts';
import { writeInstructions } from './mcp/instructions.ts';
import { createMcpServers, type McpServers } from './mcp/server.ts';
import { runStdio } from './mcp/stdio.ts';
import { createStreamableHttp } from './mcp/streamable-http.ts';
import type { Fallback } from './mcp/tool.ts';
import { LazyGateway } from './packages/gateway/lazy-gateway.ts';
import { parseRequirement } from './packages/pep/requirement.ts';
import { type DiskSizes, diskSizesFor } from './sandbox/disk-sizes.ts';
import type { Backend } from './sandbox/start-sandbox.ts';
import { ephemeralName, Instance } from './sessions/instance.ts';
import type { Sessions } from './sessions/sessions.ts';
import type { AnyTool } from './tools/description.ts';
import { createTools } from './tools/index.ts';
import { version } from './version.ts';

/** Open MCP sessions of the older protocol versions, which clients tend to leave behind. */
const CONNECTIONS = { maxSessionsPerOwner: 1000, maxSessions: 2000 };
/**
 * What one byte of text takes in JSON at most, as those of `é` do in `\\u00e9`; control characters, of which no text is made,
 * take more. Code and stdin may both be at their limit.
 */
const ESCAPED_BYTES = 3;
/** For the rest of a request. */
const OTHER_BYTES = 1024 * 1024;
/** For requests under way to end by themselves when the server stops; then they are cancelled. */
const SHUTDOWN_GRACE_MS = 2000;
/** For those to be answered. */
const CANCEL_GRACE_MS = 3000;
/** A model's client gives up after a minute or so: better an answer that says what is going on. */
const STDIO_PATIENCE_MS = 20_000;

/** More at once only make each take longer. */
const STARTS_PER_PROCESSOR = 2;

type Report = (message: string) => void;

export interface ServeHooks {
  /** Hears the steps of the set-up. */
  readonly onProgress: Report;
  /** Hears the URLs, and the key that was made because there was none. */
  readonly onListening: (urls: readonly string[], firstKey?: string) => void;
  /** Hears at the end, after each session, how many are left to be removed or let go. */
  readonly onEnded?: (left: number) => void;
  /** Ends the server. */
  readonly signal: AbortSignal;
  /** For conformance tests. */
  readonly extendMcp?: Parameters<typeof createMcpServers>[0]['extend'];
}

/** Serves REST and MCP over HTTP until the signal aborts; everything made is then removed, or kept if so configured. */
export async function serve(config: Config, log: Log, hooks: ServeHooks): Promise<void> {
  const { auth, apiKeysFile, firstKey } = config;
  using keys = auth === 'keys' ? KeyRing.open(apiKeysFile, log, { mayBeEmpty: firstKey !== undefined }) : undefined;
  using instance = Instance.acquire(config.stateDir, config.instance ?? nameOfPort(config.port));
  await using gateway = new LazyGateway(config, log, () => glovebox);
  await using glovebox = createGlovebox(config, log, instance, gateway, {
    install: config.setup === 'auto',
    ...(hooks.onEnded ? { onEnded: hooks.onEnded } : {}),
  });
  await glovebox.prepare({ onProgress: hooks.onProgress, signal: hooks.signal });

  const tools = createTools(limitsOf(config), parseRequirement);
  const mcp = createMcp(config, log, tools, glovebox.sessions, hooks.extendMcp);
  const streamable = createStreamableHttp(mcp, { idleTtlMs: config.idleTtlS * 1000, ...CONNECTIONS });
  const sse = createHttpSse(mcp, { ...CONNECTIONS, messagesPath: '/messages' });
  const stopping = new AbortController();
  const delays = watchEventLoop();
  const app = createApp({
    closing: hooks.signal,
    stopping: stopping.signal,
    tools,
    sessions: glovebox.sessions,
    diskMb: config.diskMb,
    version,
    log,
    fallback: config.defaultSession ?? 'owner',
    health: (deep) => checkHealth(glovebox, deep),
    metrics: new ServerMetrics(glovebox.metrics.registry, () => ({ ...glovebox.figures, eventLoop: delays() })),
    authenticate: createAuthenticator(keys),
    ...(config.requestsPerMinute > 0 ? { requestRate: new RequestRate(config.requestsPerMinute) } : {}),
    allowedHosts: config.allowedHosts,
    allowedOrigins: config.allowedOrigins,
    maxBodyBytes: config.codeLimit * ESCAPED_BYTES * 2 + OTHER_BYTES,
    mcp: { streamable: streamable.handle, sse: sse.open, messages: sse.post },
  });
  const listening = await listen(app, config);
  // Last: a key that is made for a server that then does not start would be lost.
  hooks.onListening(listening.urls, keys && firstKey !== undefined ? addFirstKey(apiKeysFile, firstKey) : undefined);

  await aborted(hooks.signal);
  setTimeout(() => stopping.abort(serverStopping()), SHUTDOWN_GRACE_MS).unref();
  const ended = listening.close(SHUTDOWN_GRACE_MS + CANCEL_GRACE_MS);
  await Promise.all([glovebox.decideShutdown(), streamable.close(), sse.close(), ended]);
}

/**
 * Serves MCP on stdin and stdout until the client hangs up. Nothing is made before the first call.
 * No key is asked for: whoever starts the process is who calls.
 */
export async function serveStdio(config: Config, log: Log, signal: AbortSignal): Promise<void> {
  using instance = Instance.acquire(config.stateDir, config.instance ?? ephemeralName('stdio'));
  await using gateway = new LazyGateway(config, log, () => glovebox);
  await using glovebox = createGlovebox(config, log, instance, gateway, {
    install: false,
    patienceMs: STDIO_PATIENCE_MS,
  });
  const mcp = createMcp(config, log, createTools(limitsOf(config), parseRequirement), glovebox.sessions);
  const maxMessageBytes = config.codeLimit * ESCAPED_BYTES * 2 + OTHER_BYTES;
  await runStdio(mcp, { owner: LOCAL_OWNER, maxMessageBytes, signal });
}

/** Builds or finds the sandbox image; its reference. */
export async function prepareImage(config: Config, log: Log, onProgress: Report): Promise<string> {
  return (await setUp(config, log, config.setup === 'auto', '', onProgress)).profile.image;
}

/** Runs code in a sandbox of its own; what came of it, for people. @throws GloveboxError when that cannot be done. */
export async function runProbe(config: Config, log: Log): Promise<string> {
  using instance = Instance.acquire(config.stateDir, ephemeralName('probe'));
  await using gateway = new LazyGateway(config, log, () => glovebox);
  await using glovebox = createGlovebox({ ...config, poolSize: 0, poolMax: 0 }, log, instance, gateway, {
    install: false,
  });
  const { image } = await glovebox.checkHealth(true);
  return `${image} runs code`;
}

function createGlovebox(
  config: Config,
  log: Log,
  instance: Instance,
  gateway: LazyGateway,
  { install, ...options }: { install: boolean } & Pick<GloveboxOptions, 'patienceMs' | 'onEnded'>,
): Glovebox {
  // Sizes that do not go together are refused now, rather than at every start of a sandbox.
  const limits = limitsOf(config);
  return new Glovebox({
    instance,
    limits,
    executions: {
      places: config.maxExecutions,
      placesPerOwner: config.maxExecutionsPerOwner,
      freshPerOwner: config.maxFreshExecutionsPerOwner,
      waitingPerOwner: config.maxWaitingPerOwner,
    },
    startsAtOnce: Math.max(1, cpus().length) * STARTS_PER_PROCESSOR,
    poolSize: { least: config.poolSize, most: Math.max(config.poolSize, config.poolMax ?? 0) },
    onShutdown: config.onShutdown,
    ...(config.keepWhile === undefined ? {} : { keepWhile: config.keepWhile }),
    log,
    setUp: (report) => setUp(config, log, install, instance.label, report),
    onTunnel: (tunnel, session) => gateway.connect(tunnel, session),
    ...options,
  });
}

/**
 * What a sandbox holds its code to, the sizes of its disks included.
 * @throws GloveboxError `invalid_input` when they do not go together
 */
function limitsOf(config: Config): Config & DiskSizes {
  return { ...config, ...diskSizesFor(config.memoryMb, config.diskMb) };
}

/** An engine and a sandbox image: those that are there, else installed and built where that is allowed. */
async function setUp(config: Config, log: Log, install: boolean, label: string, report: Report): Promise<Backend> {
  const found = install ? await findEngine(config) : await connectEngine(config);
  const { docker } = found ?? (await installEngine(config, report));
  await checkEngine(docker, config);
  const image = await ensureImage(docker, config, report);
  const { memoryMb, cpus, pids, diskMb, maxLifetimeS, runtime, preload } = config;
  const sizes = { memoryMb, cpus, pids, diskMb, maxLifetimeS, ...(runtime ? { runtime } : {}) };
  return { engine: new DockerEngine(docker, log), profile: { ...sizes, instance: label, image, preload }, log };
}

function createMcp(
  config: Config,
  log: Log,
  tools: readonly AnyTool[],
  sessions: Sessions,
  extend?: ServeHooks['extendMcp'],
): McpServers {
  return createMcpServers({
    tools,
    sessions,
    version,
    log,
    instructions: writeInstructions(config),
    fallback: fallbackOf(config),
    ...(extend ? { extend } : {}),
  });
}

/**
 * A client of the newest protocol has no connection that a session could belong to: where nobody is asked for a key,
 * there is one user, whose calls go on in one session as they do over REST.
 */
function fallbackOf({ defaultSession, auth }: Config): Fallback {
  const request = defaultSession ?? (auth === 'keys' ? 'new' : 'owner');
  return { connection: defaultSession ?? 'new', request };
}

async function checkHealth(glovebox: Glovebox, deep: boolean): Promise<{ ok: boolean; body: object }> {
  try {
    return { ok: true, body: { status: 'ok', ...(await glovebox.checkHealth(deep)), version } };
  } catch (thrown) {
    return { ok: false, body: { status: 'unavailable', error: toGloveboxError(thrown).toBody(), version } };
  }
}

/** With port 0 the name is as passing as the port. */
function nameOfPort(port: number): string {
  return port === 0 ? ephemeralName('http') : `http-${port}`;
}

export function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}
