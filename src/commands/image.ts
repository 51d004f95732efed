import type { Config } from '../config/load.ts';
import { seccompProfile } from '../engines/hardening/seccomp.ts';
import { openEngine } from '../engines/index.ts';
import { createLog } from '../log.ts';
import type { CommandContext } from './context.ts';

/** Runs `glovebox image`: builds or finds the sandbox image, and prints its reference for scripts. */
export async function runImage(config: Config, { say }: CommandContext): Promise<void> {
  const options = { mayInstall: config.setup === 'auto', log: createLog(config.logLevel), report: say };
  process.stdout.write(`${(await openEngine(config, options)).profile.image}\n`);
}

/** Runs `glovebox image --seccomp`: prints the filter of system calls as container runtimes read it from a file. */
export function printSeccompProfile(): void {
  process.stdout.write(`${JSON.stringify(seccompProfile(), null, 2)}\n`);
}
