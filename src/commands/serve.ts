import type { Config } from '../config/load.ts';
import { createLog } from '../log.ts';
import { serve } from '../server.ts';
import type { CommandContext } from './context.ts';

/** Runs `glovebox serve` until the signal aborts. */
export async function runServe(config: Config, { say, signal, onEnded }: CommandContext): Promise<void> {
  const onListening = (urls: readonly string[], key?: string) => tellListening(say, config, urls, key);
  await serve(config, createLog(config.logLevel), { onProgress: say, onListening, onEnded, signal });
}

/** Addresses that lead nowhere by themselves, as those of a server that listens on all. */
const WILDCARD = /\/\/(0\.0\.0\.0|\[::\])(?=:)/;

function tellListening(say: CommandContext['say'], { firstKey: owner }: Config, urls: readonly string[], key?: string) {
  const shown = urls.map((url) => url.replace(WILDCARD, '//localhost'));
  // The last, as the image is told of 8055 last, and that is what its documented line publishes.
  const url = shown.at(-1);
  if (key !== undefined) {
    say(`Callers need a key. This one was made for "${owner}", since there was none, and is not shown again:`);
    say(`  ${key}`);
    say(`  curl -H "Authorization: Bearer ${key}" ${url}/sessions`);
    say(`MCP clients send the same header to ${url}/mcp. GLOVEBOX_AUTH=none lets anyone call.`);
  }
  say(`Glovebox serves on ${shown.join(' and ')} (MCP: ${url}/mcp); stop it with Ctrl-C.`);
}
