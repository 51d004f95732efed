import type { Config } from '../config/load.ts';
import { readTelemetry } from '../config/telemetry-environment.ts';
import { ephemeralName, Glovebox } from '../glovebox.ts';
import { createLog } from '../log.ts';
import { serveStdio } from '../stdio-server.ts';
import { openTelemetry } from '../telemetry/open.ts';
import { version } from '../version.ts';
import type { CommandContext } from './context.ts';

/** Longest wait for the set-up, in milliseconds. Clients give up after about a minute, so answer before that. */
const PATIENCE_MS = 20_000;

/** Runs `glovebox stdio` until the client disconnects or the signal aborts. The first call starts the set-up. */
export async function runStdio(config: Config, { signal }: CommandContext): Promise<void> {
  const log = createLog(config.logLevel);
  await using telemetry = await openTelemetry(readTelemetry(), { hosts: config.hostEnvironment, version, log });
  const instance = config.instance ?? ephemeralName('stdio');
  await using glovebox = await Glovebox.open(config, {
    ...{ instance, log, mayInstall: false, lazy: true, patienceMs: PATIENCE_MS },
  });
  telemetry?.exportMetrics(() => glovebox.metrics.registry.getMetricsAsJSON());
  await serveStdio(glovebox, config, log, signal);
}
