import type { Config } from '../config/load.ts';
import { ephemeralName, Glovebox } from '../glovebox.ts';
import { createLog } from '../log.ts';
import { serveStdio } from '../stdio-server.ts';
import type { CommandContext } from './context.ts';

/** A model's client gives up after a minute or so: better an answer that says what is going on. */
const PATIENCE_MS = 20_000;

/** Runs `glovebox stdio` until the client hangs up or the signal aborts. Nothing is made before the first call. */
export async function runStdio(config: Config, { signal }: CommandContext): Promise<void> {
  const log = createLog(config.logLevel);
  const instance = config.instance ?? ephemeralName('stdio');
  await using glovebox = await Glovebox.open(config, {
    ...{ instance, log, mayInstall: false, lazy: true, patienceMs: PATIENCE_MS },
  });
  await serveStdio(glovebox, config, log, signal);
}
