import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const LOOK_EVERY_MS = 100;

/** The cluster of a run, as all its test files have it. */
export interface ClusterRecord {
  readonly kubeconfig: string;
  /** Reference of the image of sandboxes, which the nodes have or can pull. */
  readonly image: string;
  /** Folder of the lab that was set up for the run, if one was. */
  readonly lab?: string;
}

/** Has the first of all test files prepare the cluster; the others wait for it. @throws Error if it could not be prepared */
export async function shareCluster(folder: string, prepare: () => Promise<ClusterRecord>): Promise<ClusterRecord> {
  if (isFirst(folder)) write(folder, await prepare().catch((error: Error) => ({ failure: error.message })));
  for (;;) {
    const found = readCluster(folder);
    if (found && 'failure' in found) throw new Error(found.failure);
    if (found) return found;
    await sleep(LOOK_EVERY_MS);
  }
}

/** Undefined as long as no test file has prepared it. */
export function readCluster(folder: string): ClusterRecord | { readonly failure: string } | undefined {
  try {
    return JSON.parse(readFileSync(join(folder, 'cluster.json'), 'utf8'));
  } catch {
    return undefined;
  }
}

function isFirst(folder: string): boolean {
  try {
    mkdirSync(join(folder, 'begun'));
    return true;
  } catch {
    return false;
  }
}

function write(folder: string, record: ClusterRecord | { readonly failure: string }): void {
  writeFileSync(join(folder, 'cluster.new'), JSON.stringify(record));
  renameSync(join(folder, 'cluster.new'), join(folder, 'cluster.json'));
}
