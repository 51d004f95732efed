import { randomBytes } from 'node:crypto';
import type { LabApi } from '../../scripts/kubernetes/api.ts';
import { rate } from '../measure.ts';

/** Requests at once that fill the cluster. */
const AT_ONCE = 32;
const FIRST_USER = 10_000;

/** A pod that no kubelet runs, as the control planes see it. */
export interface FakePod {
  readonly key: string;
  /** The engine's reference to the sandbox. */
  readonly ref: string;
}

/** Makes nodes that say that they are ready, and that nobody speaks for. */
export async function makeNodes(api: LabApi, count: number): Promise<void> {
  const now = new Date().toISOString();
  await rate(count, AT_ONCE, async (at) => {
    const metadata = { name: `simulated-${at}` };
    await api.ensure('/api/v1/nodes', { apiVersion: 'v1', kind: 'Node', metadata });
    const ready = {
      type: 'Ready',
      status: 'True',
      reason: 'Simulated',
      lastHeartbeatTime: now,
      lastTransitionTime: now,
    };
    await patch(api, `/api/v1/nodes/${metadata.name}/status`, { status: { conditions: [ready] } });
  });
}

/** Makes what a controller makes elsewhere, and without which no pod is let in. */
export async function makeAccount(api: LabApi, namespace: string): Promise<void> {
  await api.ensure(`/api/v1/namespaces/${namespace}/serviceaccounts`, { metadata: { name: 'default' } });
}

/** Makes pods as the engine does, spread over the nodes, and has them say that they run. */
export async function makePods(
  api: LabApi,
  {
    count,
    first,
    nodes,
    bodyOf,
  }: { count: number; first: number; nodes: number; bodyOf: (key: string, uid: number) => object },
  namespace: string,
): Promise<FakePod[]> {
  const pods: FakePod[] = [];
  await rate(count, AT_ONCE, async (at) => {
    const key = randomBytes(10).toString('hex');
    const uid = FIRST_USER + first + at;
    const body = bodyOf(key, uid) as { metadata: { name: string }; spec: object };
    const path = `/api/v1/namespaces/${namespace}/pods`;
    const placed = { ...body, spec: { ...body.spec, nodeName: `simulated-${at % nodes}` } };
    const made = await api.call('POST', path, placed);
    if (made.status !== 201) throw new Error(`A pod was answered with ${made.status}: ${made.text}`);
    const { metadata }: { metadata: { uid: string } } = JSON.parse(made.text);
    await patch(api, `${path}/${body.metadata.name}/status`, {
      status: {
        phase: 'Running',
        conditions: [{ type: 'Ready', status: 'True', lastTransitionTime: new Date().toISOString() }],
        containerStatuses: [
          {
            ...{ name: 'sandbox', image: 'simulated', imageID: 'simulated', ready: true, restartCount: 0 },
            state: { running: { startedAt: new Date().toISOString() } },
          },
        ],
      },
    });
    pods.push({ key, ref: `${key}/${metadata.uid}/${uid}` });
  });
  return pods;
}

async function patch(api: LabApi, path: string, body: object): Promise<void> {
  const { status, text } = await api.call('PATCH', path, body, 'application/strategic-merge-patch+json');
  if (status !== 200) throw new Error(`PATCH ${path} was answered with ${status}: ${text}`);
}
