import { enableCompileCache, flushCompileCache } from 'node:module';
import { join } from 'node:path';
import { cacheHome } from '../config/host-environment.ts';
import { trimFolder } from '../lib/trim-folder.ts';

/** Time after the start until compiled code is written, in milliseconds: a server is busiest just after its start. */
const WRITE_AFTER_MS = 5000;
/** Time after the start until what is old of it is removed, in milliseconds. */
const TRIM_AFTER_MS = 60_000;
const DAY_MS = 86_400_000;
/** Each release of Node and each place of this package has its own code, 3 MB of it: some twenty of them stay. */
const KEPT = { bytes: 64 * 2 ** 20, unusedForMs: 30 * DAY_MS, everyMs: DAY_MS };

const folder = () => join(cacheHome(), 'glovebox', 'compiled');

/**
 * Keeps the compiled code of all modules in a folder of this user, from which the next start reads it. Not in the folder
 * for temporary files, which is Node's default: others could have made it first. Does nothing where it cannot be written.
 */
export function keepCompiledCode(): void {
  enableCompileCache(folder());
}

/** Writes it soon, and later removes what is old. Node writes it at an orderly exit, but a server may be killed instead. */
export function writeCompiledCodeSoon(): void {
  setTimeout(flushCompileCache, WRITE_AFTER_MS).unref();
  // It is only a cache: where it cannot be trimmed, it stays.
  setTimeout(() => void trimFolder(folder(), KEPT).catch(() => {}), TRIM_AFTER_MS).unref();
}
