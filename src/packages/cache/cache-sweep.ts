import { readdir, rm, stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';

export interface CacheEntry {
  readonly path: string;
  /** Size in bytes. */
  readonly size: number;
  /** Time of the last use, in milliseconds since 1970. */
  readonly usedMs: number;
}

/** Age in milliseconds after which a partial file is abandoned: a running download writes to its file all the time. */
const ABANDONED_MS = 3_600_000;

/** Lists all entries in `<dir>/<kind>/<two letters>/`. A file that is removed in the meantime is left out. */
export async function listEntries(dir: string, kinds: readonly string[]): Promise<CacheEntry[]> {
  const entries: CacheEntry[] = [];
  for (const kind of kinds) {
    for (const shard of await readdir(join(dir, kind)).catch(() => [])) {
      const folder = join(dir, kind, shard);
      for (const name of await readdir(folder).catch(() => [])) {
        const path = join(folder, name);
        const found = await stat(path).catch(() => undefined);
        if (found?.isFile()) entries.push({ path, size: found.size, usedMs: found.mtimeMs });
      }
    }
  }
  return entries;
}

/** Removes the partial files of processes that have ended. Their names are `<host>.<pid>.<random>`. */
export async function removeLeftovers(dir: string): Promise<void> {
  for (const name of await readdir(dir)) {
    const path = join(dir, name);
    const owner = /^(.*)\.(\d+)\.[0-9a-f]+$/.exec(name);
    const isOrphan = owner?.[1] === hostname() && !isAlive(Number(owner[2]));
    const found = await stat(path).catch(() => undefined);
    if (isOrphan || (found && Date.now() - found.mtimeMs > ABANDONED_MS)) await rm(path, { force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // The process exists, but belongs to another user.
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
