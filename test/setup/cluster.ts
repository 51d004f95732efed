import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { removeLab } from '../../scripts/kubernetes/lab.ts';
import { loadConfig } from '../../src/config/load.ts';
import { findRemains } from '../../src/engines/kubernetes/remains.ts';
import { createLog } from '../../src/log.ts';
import { type ClusterRecord, readCluster } from './cluster-record.ts';
import { explainLeft } from './server-notes.ts';
import { readStateIds } from './state-ids.ts';

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
  try {
    if (cluster && !('failure' in cluster)) await assertNoPodLeft(cluster, folder);
  } finally {
    if (cluster && 'lab' in cluster && cluster.lab) await removeLab(cluster.lab);
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Every server of the run has ended: a sandbox that is still there is a leak, unless it is being removed already. */
async function assertNoPodLeft({ kubeconfig, image }: ClusterRecord, stateRoot: string): Promise<void> {
  const ids = readStateIds(stateRoot);
  const cluster = { KUBECONFIG: kubeconfig, GLOVEBOX_ENGINE: 'kubernetes', GLOVEBOX_IMAGE: image };
  const remains = await findRemains(loadConfig({ ...process.env, ...cluster }), createLog('error'));
  const names: string[] = [];
  for (const sandbox of remains.sandboxes) {
    const { key, instance, running } = sandbox;
    const stateDir = ids.get(instance.split('@')[1] ?? '');
    if (!running || stateDir === undefined) continue;
    await remains.removeSandbox(sandbox);
    const why = explainLeft(stateDir);
    if (why !== undefined) names.push(`${key} of ${instance} (${why})`);
  }
  if (names.length > 0) throw new Error(`Pods left by this run's servers:\n${names.join('\n')}`);
}
