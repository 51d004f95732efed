import { enableCompileCache, flushCompileCache } from 'node:module';
import { join } from 'node:path';
import { cacheHome } from '../config/host-environment.ts';

/** Time after the start until compiled code is written, in milliseconds: a server is busiest just after its start. */
const WRITE_AFTER_MS = 5000;

/**
 * Keeps the compiled code of all modules in a folder of this user, from which the next start reads it. Not in the folder
 * for temporary files, which is Node's default: others could have made it first. Does nothing where it cannot be written.
 */
export function keepCompiledCode(): void {
  enableCompileCache(join(cacheHome(), 'glovebox', 'compiled'));
}

/** Writes it soon. Node writes it at an orderly exit, but a server may be killed instead. */
export function writeCompiledCodeSoon(): void {
  setTimeout(flushCompileCache, WRITE_AFTER_MS).unref();
}
