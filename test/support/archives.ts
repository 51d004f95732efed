import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { Server } from './server.ts';

/** The archives of a server's disk: the folder of each, with what is in it. */
export function archivesOf({ stateDir }: Server): { path: string; names: string[] }[] {
  return readdirSync(join(stateDir, 'instances'))
    .filter((name) => !name.endsWith('.lock'))
    .flatMap((name) => {
      const directory = join(stateDir, 'instances', name, 'archives');
      return readdirSync(directory).map((id) => ({
        path: join(directory, id),
        names: readdirSync(join(directory, id)),
      }));
    });
}

/** Waits until there is a checkpoint that is newer than what was done before. */
export async function untilSaved(server: Server, since = Date.now()): Promise<void> {
  const savedAt = () =>
    archivesOf(server).some(({ path, names }) => {
      if (!names.includes('archive.json')) return false;
      const { saved_at } = JSON.parse(readFileSync(join(path, 'archive.json'), 'utf8')) as { saved_at: string };
      return Date.parse(saved_at) >= since;
    });
  await expect.poll(savedAt, { timeout: 15_000 }).toBe(true);
}
