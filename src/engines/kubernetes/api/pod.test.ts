import { expect, test } from 'vitest';
import { podSchema } from './pod.ts';

test('a condition of a pod that has no time of its last change ended the watch of all pods', () => {
  // A condition that something else has set, such as a readiness gate. The API server answers with null for no time.
  const gate = { type: 'example.com/gate', status: 'True', lastProbeTime: null, lastTransitionTime: null };
  const pod = { metadata: { name: 'a', uid: 'b', resourceVersion: '1' }, spec: {}, status: { conditions: [gate] } };
  expect(podSchema.parse(pod).status.conditions).toEqual([{ type: 'example.com/gate', status: 'True' }]);
});
