import type { Config } from '../config/load.ts';
import { createLog } from '../log.ts';
import { prepareImage } from '../server.ts';
import type { CommandContext } from './context.ts';

/** Runs `glovebox image`: builds or finds the sandbox image, and prints its reference for scripts. */
export async function runImage(config: Config, { say }: CommandContext): Promise<void> {
  process.stdout.write(`${await prepareImage(config, createLog(config.logLevel), say)}\n`);
}
