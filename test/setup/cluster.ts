import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { removeLab } from '../../scripts/kubernetes/lab.ts';
import { readCluster } from './cluster-record.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** Where the test files of the project `kubernetes` share what cluster they have; undefined in other projects. */
    clusterFolder?: string;
    /** Process of the whole run, with which its lab ends. */
    runPid?: number;
  }
}

let folder: string | undefined;

/** Begins nothing yet: the lab is set up by the first file, once the tests on Docker have ended. */
export function setup({ provide }: TestProject): void {
  folder = mkdtempSync(join(tmpdir(), 'glovebox-test-cluster-'));
  provide('clusterFolder', folder);
  provide('runPid', process.pid);
  provide('stateRoot', folder);
  provide('runtime', '');
  provide('allowMissing', '');
  provide('isGvisor', false);
  provide('isPodman', false);
  provide('isRemapped', false);
}

export async function teardown(): Promise<void> {
  if (!folder) return;
  const cluster = readCluster(folder);
  if (cluster && 'lab' in cluster && cluster.lab) await removeLab(cluster.lab);
  rmSync(folder, { recursive: true, force: true });
}
