import type { Config } from '../config/load.ts';
import { readTelemetry } from '../config/telemetry-environment.ts';
import type { WebOfOwner } from '../egress/policy/policy.ts';
import type { Glovebox } from '../glovebox.ts';
import type { Login } from '../http/auth/jwt/login.ts';
import type { KeyRing } from '../http/auth/key-ring.ts';
import { type Listening, listen } from '../http/listen.ts';
import type { Finding } from '../lib/finding.ts';
import { takesKeys, takesTokens } from '../lib/login/auth-kind.ts';
import { loadGlovebox, loadServer } from '../load.ts';
import { createLog, type Log } from '../log.ts';
import { openTelemetry } from '../telemetry/open.ts';
import { version } from '../version.ts';
import { writeCompiledCodeSoon } from './compile-cache.ts';
import type { CommandContext } from './context.ts';
import { openGroup } from './group.ts';

/**
 * Pause between the begin of serving and the adoption of sessions, in milliseconds. Meanwhile the engine answers the
 * first requests, which would wait behind those of the adoption.
 */
const ADOPT_DELAY_MS = 100;

/**
 * Runs `glovebox serve`: REST and MCP over HTTP until the signal aborts. Then removes the sessions, or keeps them if so
 * configured. It listens before what serves is loaded and the engine is looked at; meanwhile `GET /health` says so.
 */
export async function runServe(config: Config, { say, signal, onEnded }: CommandContext): Promise<void> {
  const log = createLog(config.logLevel);
  using keys = takesKeys(config.auth) ? await openKeys(config, log) : undefined;
  await using listening = await listenFirst(config);
  await using telemetry = await openTelemetry(readTelemetry(), { hosts: config.hostEnvironment, version, log });
  await using login = takesTokens(config.auth) ? await openLogin(config, listening.url, log) : undefined;
  await using group = await openGroup(config, log);
  const { Glovebox } = await loadGlovebox();
  const serving = Promise.withResolvers<void>();
  const opening = Glovebox.open(config, {
    instance: await instanceOf(config),
    mayInstall: config.setup === 'auto',
    onProgress: say,
    adoptAfter: serving.promise,
    webOfOwner: webOfOwner(keys, login),
    ...keepingWhile(config),
    introduction: group?.introduction,
    onJoined: group?.onJoined,
    ...{ log, onEnded, signal },
  });
  // Loaded while the engine answers.
  const loading = loadServer();
  await using glovebox = await opening;
  const { serve } = await loading;
  const onServing = (urls: readonly string[], key?: string) => {
    tellVerdict(say, glovebox.missing);
    tellServing(say, config, urls, key);
    writeCompiledCodeSoon();
    setTimeout(serving.resolve, ADOPT_DELAY_MS).unref();
  };
  await serve(glovebox, config, {
    log,
    listening,
    keys,
    login,
    group: group?.of(glovebox),
    onServing,
    examine: () => examineRunning(glovebox, config),
    telemetry,
    signal,
  });
}

/** Does what `glovebox doctor` does, in the sandboxes of this server. */
async function examineRunning(glovebox: Glovebox, config: Config): Promise<readonly Finding[]> {
  const { examineServer } = await import('./doctor.ts');
  return await examineServer(config, () => glovebox.examine());
}

async function openKeys({ apiKeysFile, firstKey }: Config, log: Log): Promise<KeyRing> {
  const { KeyRing } = await import('../http/auth/key-ring.ts');
  return KeyRing.open(apiKeysFile, log, { mayBeEmpty: firstKey !== undefined });
}

async function openLogin(config: Config, url: string, log: Log): Promise<Login> {
  const { jwtIssuer: issuer = '', jwtAudience: audience, jwtOwnerClaim: ownerClaim, publicUrl = url } = config;
  const { openLogin: open } = await import('../http/auth/jwt/login.ts');
  return open({ issuer, publicUrl, audience, ownerClaim, access: config.hostEnvironment, log });
}

/** Returns how the keys of owners narrow the web. Tokens narrow nothing, for those who have one. */
function webOfOwner(keys: KeyRing | undefined, login: Login | undefined): WebOfOwner | undefined {
  if (!keys) return undefined;
  return (owner) => keys.webOf(owner) ?? (login?.tokens.hasSeen(owner) ? [] : undefined);
}

/** @throws GloveboxError `invalid_input` when that cannot be; if a server of this name runs, the error says that */
async function listenFirst(config: Config): Promise<Listening> {
  try {
    return await listen(config);
  } catch (error) {
    const { checkStateDir } = await import('../glovebox.ts');
    checkStateDir(config.stateDir, await instanceOf(config));
    throw error;
  }
}

/** Under Compose, a container that runs while the project is up shows whether there will be a next run. */
function keepingWhile(config: Config): { mayKeep?: () => Promise<boolean> } {
  const { keepWhile } = config;
  if (keepWhile === undefined) return {};
  return {
    mayKeep: async () => (await import('../engines/docker/index.ts')).isContainerRunning(config, keepWhile),
  };
}

/** Returns the name of the instance, by default that of its port. With port 0, the name is temporary like the port. */
async function instanceOf({ instance, port }: Config): Promise<string> {
  if (instance !== undefined) return instance;
  return port === 0 ? (await import('../glovebox.ts')).ephemeralName('http') : `http-${port}`;
}

/** Says what the look into a sandbox has found: at each start, what the operator accepts. */
function tellVerdict(say: CommandContext['say'], missing: Glovebox['missing']): void {
  if (missing.length === 0) {
    say('Sandboxes are sealed as asked: each protection was seen to hold.');
    return;
  }
  const shown = missing.map(({ name, found }) => `${name} (${found})`).join('; ');
  say(`Sandboxes are NOT sealed as asked, which is allowed. Missing: ${shown}.`);
}

/** Addresses of servers that listen on all interfaces. Clients cannot use them. */
const WILDCARD = /\/\/(0\.0\.0\.0|\[::\])(?=:)/;

function tellServing(say: CommandContext['say'], config: Config, urls: readonly string[], key?: string): void {
  const shown = urls.map((url) => url.replace(WILDCARD, '//localhost'));
  // The last URL, because the last port of the image is 8055, which the documented command publishes.
  const url = shown.at(-1);
  if (key !== undefined) {
    say(
      `Callers need a key. This one was made for "${config.firstKey}", since there was none, and is not shown again:`,
    );
    say(`  ${key}`);
    say(`  curl -H "Authorization: Bearer ${key}" ${url}/sessions`);
    say(`MCP clients send the same header to ${url}/mcp. GLOVEBOX_AUTH=none lets anyone call.`);
  }
  say(`Page:        ${url}/`);
  if (takesTokens(config.auth)) say(`Callers log in at ${config.jwtIssuer}; MCP clients do so by themselves.`);
  const header = config.auth === 'keys' ? ` --header "Authorization: Bearer ${key ?? 'YOUR_KEY'}"` : '';
  say(`Claude Code: claude mcp add --transport http glovebox ${url}/mcp${header}`);
  say(`Glovebox serves on ${shown.join(' and ')} (MCP: ${url}/mcp); stop it with Ctrl-C.`);
}
