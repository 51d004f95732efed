import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeDirectory } from '../../../lib/make-directory.ts';

/** Name of the file in the state directory that says when Glovebox installed the engine. */
const NAME = 'installed-engine.txt';

/** Notes that an engine was installed now, for `glovebox uninstall`. It does not matter if that cannot be written. */
export function noteInstalled(stateDir: string): void {
  try {
    makeDirectory(stateDir);
    writeFileSync(join(stateDir, NAME), `${new Date().toISOString()}\n`, { mode: 0o600 });
  } catch {}
}

/** Returns when an engine was installed, in ISO 8601; undefined if none was. */
export function readInstalled(stateDir: string): string | undefined {
  try {
    return readFileSync(join(stateDir, NAME), 'utf8').trim();
  } catch {
    return undefined;
  }
}
