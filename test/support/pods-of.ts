import { readdirSync, readFileSync } from 'node:fs';
import { z } from 'zod';
import { loadConfig } from '../../src/config/load.ts';
import { openAccess } from '../../src/engines/kubernetes/api/access.ts';
import { statusOf } from '../../src/engines/kubernetes/api/answer.ts';
import { KubernetesClient } from '../../src/engines/kubernetes/api/client.ts';
import { runExec } from '../../src/engines/kubernetes/api/exec.ts';
import { podPath, podSchema } from '../../src/engines/kubernetes/api/pod.ts';
import { CONTAINER_NAME, LABELS } from '../../src/engines/kubernetes/pod-spec.ts';
import { createLog } from '../../src/log.ts';
import { LOOK, type SeenProcess } from './processes-inside.ts';

const ANSWER_LIMIT_MS = 30_000;
const listSchema = z.object({ items: z.array(podSchema) });

let opened: Promise<KubernetesClient> | undefined;

/** The client of the cluster that the run's servers use. */
function cluster(): Promise<KubernetesClient> {
  opened ??= openClient();
  return opened;
}

async function openClient(): Promise<KubernetesClient> {
  const { hostEnvironment } = loadConfig();
  return new KubernetesClient(await openAccess({ hostEnvironment, log: createLog('error') }));
}

/** Every pod that servers over a state directory with this id made, as Docker lists containers. */
export async function listPods(stateId: string): Promise<{ Id: string; Labels: Record<string, string> }[]> {
  const client = await cluster();
  const query = { labelSelector: LABELS.key };
  const { items } = await client.request('GET', podPath(client.namespace), { query, schema: listSchema });
  return items
    .filter(({ metadata }) => metadata.annotations[LABELS.instance]?.endsWith(`@${stateId}`))
    .map(({ metadata: { name, labels, annotations } }) => ({ Id: name, Labels: { ...labels, ...annotations } }));
}

/** Deletes a pod as an operator does, and waits until it is gone. */
export async function deletePod(name: string): Promise<void> {
  const client = await cluster();
  const path = podPath(client.namespace, name);
  try {
    await client.request('DELETE', path, { schema: z.unknown() });
    for (;;) await client.request('GET', path, { schema: podSchema });
  } catch (error) {
    if (statusOf(error) !== 404) throw error;
  }
}

/** What a command in a pod prints. */
export async function execInPod(pod: string, command: readonly string[]): Promise<string> {
  const client = await cluster();
  const target = { namespace: client.namespace, pod, container: CONTAINER_NAME, command };
  const { stdout, stderr } = await runExec(client, target, ANSWER_LIMIT_MS);
  return stdout + stderr;
}

/** Numbers that the processes of a pod have on this host. None if its node is another machine. */
export async function hostPidsOfPod(name: string): Promise<number[]> {
  const client = await cluster();
  const { metadata } = await client.request('GET', podPath(client.namespace, name), { schema: podSchema });
  const pids = readdirSync('/proc').filter((entry) => /^\d+$/.test(entry));
  return pids.filter((pid) => groupsOf(pid).includes(`/pod${metadata.uid}/`)).map(Number);
}

function groupsOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cgroup`, 'utf8');
  } catch {
    // It has ended.
    return '';
  }
}

/** The processes of a pod, but for its main process and the one that looks. */
export async function listProcessesOfPod(pod: string): Promise<SeenProcess[]> {
  const seen: SeenProcess[] = JSON.parse(await execInPod(pod, ['python3', '-I', '-c', LOOK]));
  return seen.filter(({ args }) => !args.startsWith('/opt/glovebox/hold ') && args !== '[hold]');
}
