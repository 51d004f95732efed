import { type PodState, podSchema } from '../../src/engines/kubernetes/api/pod.ts';

/** Status of a pod that runs. */
export const RUNNING = {
  phase: 'Running',
  conditions: [
    { type: 'PodScheduled', status: 'True' },
    { type: 'Ready', status: 'True' },
  ],
  containerStatuses: [{ name: 'sandbox', ready: true, state: { running: {} } }],
};

/** A pod as an API server tells it, on a node unless `nodeName` says otherwise. */
export function podOf(
  status: object,
  metadata: object = {},
  { nodeName = 'node1' }: { nodeName?: string | undefined } = {},
): PodState {
  return podSchema.parse({
    metadata: { name: 'glovebox-a', uid: 'u', resourceVersion: '1', ...metadata },
    spec: nodeName === '' ? {} : { nodeName },
    status,
  });
}
