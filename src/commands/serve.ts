import type { Config } from '../config/load.ts';
import { isContainerRunning } from '../engines/docker/index.ts';
import { ephemeralName, Glovebox } from '../glovebox.ts';
import { KeyRing } from '../http/auth/key-ring.ts';
import { createLog } from '../log.ts';
import { writeCompiledCodeSoon } from './compile-cache.ts';
import type { CommandContext } from './context.ts';

/**
 * Pause between listening and the adoption of sessions, in milliseconds. Meanwhile the engine answers the first requests,
 * which would wait behind those of the adoption.
 */
const ADOPT_DELAY_MS = 100;

/**
 * Runs `glovebox serve`: REST and MCP over HTTP until the signal aborts. Then removes the sessions, or keeps them if so
 * configured.
 */
export async function runServe(config: Config, { say, signal, onEnded }: CommandContext): Promise<void> {
  const log = createLog(config.logLevel);
  const { auth, apiKeysFile, firstKey } = config;
  using keys = auth === 'keys' ? KeyRing.open(apiKeysFile, log, { mayBeEmpty: firstKey !== undefined }) : undefined;
  const listening = Promise.withResolvers<void>();
  const opening = Glovebox.open(config, {
    instance: config.instance ?? nameOfPort(config.port),
    mayInstall: config.setup === 'auto',
    onProgress: say,
    adoptAfter: listening.promise,
    ...keepingWhile(config),
    ...{ log, onEnded, signal },
  });
  // Loaded while the engine answers.
  const loading = import('../server.ts');
  await using glovebox = await opening;
  const { serve } = await loading;
  const onListening = (urls: readonly string[], key?: string) => {
    tellListening(say, config, urls, key);
    tellMissing(say, glovebox.missing);
    writeCompiledCodeSoon();
    setTimeout(listening.resolve, ADOPT_DELAY_MS).unref();
  };
  await serve(glovebox, config, { log, keys, onListening, signal });
}

/** Under Compose, a container that runs while the project is up shows whether there will be a next run. */
function keepingWhile(config: Config): { mayKeep?: () => Promise<boolean> } {
  const { keepWhile } = config;
  return keepWhile === undefined ? {} : { mayKeep: () => isContainerRunning(config, keepWhile) };
}

/** Returns the name of the instance. With port 0, the name is temporary like the port. */
function nameOfPort(port: number): string {
  return port === 0 ? ephemeralName('http') : `http-${port}`;
}

/** Says what the operator accepts, at each start. */
function tellMissing(say: CommandContext['say'], missing: Glovebox['missing']): void {
  if (missing.length === 0) return;
  const shown = missing.map(({ name, found }) => `${name} (${found})`).join('; ');
  say(`Sandboxes are NOT sealed as asked, as GLOVEBOX_ALLOW_MISSING allows. Missing: ${shown}.`);
}

/** Addresses of servers that listen on all interfaces. Clients cannot use them. */
const WILDCARD = /\/\/(0\.0\.0\.0|\[::\])(?=:)/;

function tellListening(say: CommandContext['say'], { firstKey: owner }: Config, urls: readonly string[], key?: string) {
  const shown = urls.map((url) => url.replace(WILDCARD, '//localhost'));
  // The last URL, because the last port of the image is 8055, which the documented command publishes.
  const url = shown.at(-1);
  if (key !== undefined) {
    say(`Callers need a key. This one was made for "${owner}", since there was none, and is not shown again:`);
    say(`  ${key}`);
    say(`  curl -H "Authorization: Bearer ${key}" ${url}/sessions`);
    say(`MCP clients send the same header to ${url}/mcp. GLOVEBOX_AUTH=none lets anyone call.`);
  }
  say(`Glovebox serves on ${shown.join(' and ')} (MCP: ${url}/mcp); stop it with Ctrl-C.`);
}
