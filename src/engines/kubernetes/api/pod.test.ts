import { expect, test } from 'vitest';
import { type PodState, podPath, podSchema } from './pod.ts';

test('a pod that the scheduler has not seen yet has no node and no conditions', () => {
  const pod: PodState = podSchema.parse({
    metadata: { name: 'p', uid: 'u', resourceVersion: '1' },
    spec: { containers: [] },
  });
  expect(pod.spec.nodeName).toBeUndefined();
  expect(pod.status).toEqual({ conditions: [], containerStatuses: [] });
  expect(pod.metadata.labels).toEqual({});
});

test('a pod whose image is missing tells so in the state of its container', () => {
  const state = { waiting: { reason: 'ErrImageNeverPull', message: 'not present' } };
  const status = { phase: 'Pending', containerStatuses: [{ name: 'sandbox', ready: false, state }] };
  const metadata = { name: 'p', uid: 'u', resourceVersion: '1' };
  expect(podSchema.parse({ metadata, spec: {}, status }).status.containerStatuses[0]?.state).toEqual(state);
});

test('names are escaped in paths', () => {
  expect(podPath('a/b', 'c d')).toBe('/api/v1/namespaces/a%2Fb/pods/c%20d');
  expect(podPath('n')).toBe('/api/v1/namespaces/n/pods');
});
