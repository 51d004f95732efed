import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { parse } from 'yaml';
import { z } from 'zod';
import { loadConfig } from '../../src/config/load.ts';
import { openAccess } from '../../src/engines/kubernetes/api/access.ts';
import { statusOf } from '../../src/engines/kubernetes/api/answer.ts';
import { KubernetesClient } from '../../src/engines/kubernetes/api/client.ts';
import { recordPath } from '../../src/engines/kubernetes/state/names.ts';
import { createLog } from '../../src/log.ts';

const DEFINITION = new URL('../../charts/glovebox/crds/sessions.yaml', import.meta.url);
const ALREADY_THERE = 409;
/** Longest wait until the API server serves a new kind of object, in milliseconds. */
const SERVED_MS = 30_000;

/** Has a cluster know the records of sessions, as the chart does. It stays: it is the same for all tests. */
export async function installRecords(admin: KubernetesClient): Promise<void> {
  const schema = z.unknown();
  const path = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
  try {
    await admin.request('POST', path, { body: parse(readFileSync(DEFINITION, 'utf8')), schema });
  } catch (error) {
    if (statusOf(error) !== ALREADY_THERE) throw error;
  }
  const deadline = performance.now() + SERVED_MS;
  for (;;) {
    try {
      await admin.request('GET', recordPath(admin.namespace), { schema });
      return;
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await sleep(100);
    }
  }
}

/** The same for the cluster of a kubeconfig. */
export async function installRecordsIn(kubeconfig: string): Promise<void> {
  const { hostEnvironment } = loadConfig({ ...process.env, KUBECONFIG: kubeconfig });
  using client = new KubernetesClient(await openAccess({ hostEnvironment, log: createLog('error') }));
  await installRecords(client);
}
