import type { Config } from '../config/load.ts';
import { connectEngine } from '../engines/docker/connect/connect.ts';
import { ensureClusterImage } from '../engines/docker/images/cluster-image.ts';
import { seccompProfile } from '../engines/hardening/seccomp.ts';
import { openEngine } from '../engines/index.ts';
import { createLog } from '../log.ts';
import type { CommandContext } from './context.ts';

/** Runs `glovebox image`: builds or finds the sandbox image, and prints its reference for scripts. */
export async function runImage(config: Config, { say }: CommandContext): Promise<void> {
  const options = { mayInstall: config.setup === 'auto', log: createLog(config.logLevel), report: say };
  print((await openEngine(config, options)).profile.image);
}

/** Runs `glovebox image --kubernetes`: builds or finds the image of sandboxes in pods on this machine's own engine. */
export async function runClusterImage(config: Config, tag: string | undefined, { say }: CommandContext): Promise<void> {
  const { docker } = await connectEngine(config);
  print(await ensureClusterImage(docker, { ...config, tag }, say));
}

/** Runs `glovebox image --seccomp`: prints the filter of system calls as container runtimes read it from a file. */
export function printSeccompProfile(): void {
  print(JSON.stringify(seccompProfile(), null, 2));
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}
