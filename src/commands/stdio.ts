import type { Config } from '../config/load.ts';
import { createLog } from '../log.ts';
import { serveStdio } from '../server.ts';
import type { CommandContext } from './context.ts';

/** Runs `glovebox stdio` until the client hangs up or the signal aborts. */
export async function runStdio(config: Config, { signal }: CommandContext): Promise<void> {
  await serveStdio(config, createLog(config.logLevel), signal);
}
