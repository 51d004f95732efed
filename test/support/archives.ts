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

/** A checkpoint that took long, as on a busy machine, is followed by a pause ten times as long. */
const PATIENCE = { timeout: 45_000 };

/**
 * Waits until there is a checkpoint that was begun after a time: without one, after the last execution had ended by the
 * server's own clock. One that was begun before may lack what it did.
 */
export async function untilSaved(server: Server, since?: number): Promise<void> {
  const begun = since ?? (await lastEnd(server));
  const savedAt = () =>
    archivesOf(server).some(({ path, names }) => {
      if (!names.includes('archive.json')) return false;
      const { saved_at } = JSON.parse(readFileSync(join(path, 'archive.json'), 'utf8')) as { saved_at: string };
      return Date.parse(saved_at) >= begun;
    });
  await expect.poll(savedAt, PATIENCE).toBe(true);
}

interface RecentExecution {
  started_at: string;
  queued_ms?: number;
  duration_ms?: number;
}

/** When the last execution of a server ended; one that still runs counts by its start. */
async function lastEnd({ url }: Server): Promise<number> {
  const { executions } = (await (await fetch(`${url}/executions`)).json()) as { executions: RecentExecution[] };
  const ends = executions.map(({ started_at, queued_ms: queued = 0, duration_ms: ran = 0 }) =>
    Math.floor(Date.parse(started_at) + queued + ran),
  );
  return Math.max(...ends);
}
