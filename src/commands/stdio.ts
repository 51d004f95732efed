import type { Config } from '../config/load.ts';
import { ephemeralName, Glovebox } from '../glovebox.ts';
import { createLog } from '../log.ts';
import { serveStdio } from '../stdio-server.ts';
import type { CommandContext } from './context.ts';

/** Longest wait for the set-up, in milliseconds. Clients give up after about a minute, so answer before that. */
const PATIENCE_MS = 20_000;

/** Runs `glovebox stdio` until the client disconnects or the signal aborts. The first call starts the set-up. */
export async function runStdio(config: Config, { signal }: CommandContext): Promise<void> {
  const log = createLog(config.logLevel);
  const instance = config.instance ?? ephemeralName('stdio');
  await using glovebox = await Glovebox.open(config, {
    ...{ instance, log, mayInstall: false, lazy: true, patienceMs: PATIENCE_MS },
  });
  await serveStdio(glovebox, config, log, signal);
}
