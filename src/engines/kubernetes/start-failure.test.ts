import { describe, expect, test } from 'vitest';
import { podOf, RUNNING } from '../../../test/support/pods.ts';
import { failureOf, notStarted, unscheduled, whyUnscheduled } from './start-failure.ts';

/** A pod whose container waits for that reason. */
const waitingFor = (reason: string, message?: string) =>
  podOf({
    phase: 'Pending',
    containerStatuses: [{ name: 'sandbox', ready: false, state: { waiting: { reason, message } } }],
  });

describe('a start fails at once', () => {
  test.each([
    [
      'ErrImagePull',
      'failed to resolve reference "r.example/x:1": not found',
      /node1.*image \(ErrImagePull\): failed.*not found\.$/,
      /GLOVEBOX_IMAGE/,
    ],
    [
      'ErrImageNeverPull',
      'Container image "x" is not present with pull policy of Never',
      /cannot get the sandbox image/,
      /Load the image/,
    ],
    ['InvalidImageName', "couldn't parse image reference", /InvalidImageName/, /GLOVEBOX_IMAGE/],
    [
      'CreateContainerError',
      'cannot load seccomp profile "/var/lib/kubelet/seccomp/glovebox.json"',
      /cannot make the sandbox/,
      /GLOVEBOX_KUBERNETES_SECCOMP/,
    ],
    [
      'RunContainerError',
      'exec: "/opt/glovebox/hold": stat /opt/glovebox/hold: no such file',
      /RunContainerError/,
      /image --kubernetes/,
    ],
    ['CreateContainerError', 'pod needs a user namespace', /cannot make/, /USER_NAMESPACES=0/],
    ['CreateContainerConfigError', 'something else', /something else/, /kubelet/],
  ])('when the container waits with %s: %s', (reason, said, message, hint) => {
    const error = failureOf(waitingFor(reason, said));
    expect(error).toMatchObject({ code: 'engine_unavailable', message: expect.stringMatching(message) });
    expect(error?.hint).toMatch(hint);
  });

  test('when the container could not be begun, or the node refuses the pod', () => {
    const terminated = { reason: 'StartError', message: 'exec /opt/glovebox/hold: not found', exitCode: 128 };
    const begun = podOf({
      phase: 'Failed',
      containerStatuses: [{ name: 'sandbox', ready: false, state: { terminated } }],
    });
    expect(failureOf(begun)?.hint).toMatch(/image --kubernetes/);
    const refused = podOf({ phase: 'Failed', reason: 'OutOfpods', message: 'Node did not have enough resource: pods' });
    expect(failureOf(refused)?.message).toBe(
      'The sandbox ended on the node "node1" before it ran: its node ended it (OutOfpods): Node did not have enough resource: pods.',
    );
  });
});

test('a start goes on while the container is made, and once it runs', () => {
  expect(failureOf(podOf({}))).toBeUndefined();
  expect(failureOf(waitingFor('ContainerCreating'))).toBeUndefined();
  expect(failureOf(waitingFor('PodInitializing'))).toBeUndefined();
  expect(failureOf(podOf(RUNNING))).toBeUndefined();
});

test('a pod that no node takes says why; one that a node has, or that was not looked at, does not', () => {
  const condition = {
    type: 'PodScheduled',
    status: 'False',
    reason: 'Unschedulable',
    message: '0/2 nodes are available: 2 Insufficient memory.',
  };
  const pending = { phase: 'Pending', conditions: [condition] };
  const why = whyUnscheduled(podOf(pending, {}, { nodeName: '' }));
  expect(why).toBe('0/2 nodes are available: 2 Insufficient memory');
  expect(unscheduled(why ?? '')).toMatchObject({
    code: 'capacity_exceeded',
    message: expect.stringContaining(`${why}.`),
  });
  expect(whyUnscheduled(podOf(pending))).toBeUndefined();
  expect(whyUnscheduled(podOf({ phase: 'Pending' }, {}, { nodeName: '' }))).toBeUndefined();
});

test('a pod that starts for ever is told with what it waits for, and where that is looked at', () => {
  expect(notStarted(waitingFor('ContainerCreating'), 300)).toMatchObject({
    message: 'The sandbox did not start on the node "node1" within 300 s: it is ContainerCreating.',
    hint: expect.stringContaining('involvedObject.name=glovebox-a'),
  });
  expect(notStarted(undefined, 300).message).toMatch(/on any node/);
});
