import { describe, expect, test } from 'vitest';
import { podOf, RUNNING } from '../../../test/support/pods.ts';
import { standingOf } from './standing.ts';

const gone = (why: string) => ({ kind: 'gone', why });

describe('a pod', () => {
  test('that runs on a node that answers', () => {
    expect(standingOf(podOf(RUNNING), 'u')).toEqual({ kind: 'running', isReady: true, isCutOff: false, node: 'node1' });
  });

  test('whose node does not answer is still said to run, and is cut off', () => {
    const conditions = [{ type: 'Ready', status: 'False', lastTransitionTime: '2026-11-29T15:00:00Z' }];
    expect(standingOf(podOf({ ...RUNNING, conditions }), 'u')).toMatchObject({ kind: 'running', isCutOff: true });
  });

  test('whose container is not ready by its node is not cut off', () => {
    const conditions = [{ type: 'Ready', status: 'False', reason: 'ContainersNotReady' }];
    const containerStatuses = [{ name: 'sandbox', ready: false, state: { running: {} } }];
    const pod = podOf({ ...RUNNING, conditions, containerStatuses });
    expect(standingOf(pod, 'u')).toMatchObject({ kind: 'running', isReady: false, isCutOff: false });
  });

  test('that waits for a node, or for its container, starts', () => {
    expect(standingOf(podOf({ phase: 'Pending' }), 'u')).toEqual({ kind: 'starting' });
    expect(standingOf(podOf({}), 'u')).toEqual({ kind: 'starting' });
  });
});

describe('a pod is gone', () => {
  test('if there is none, or another one of its name, or its deletion has begun', () => {
    const deleted = gone('its pod was deleted');
    expect(standingOf(undefined, 'u')).toEqual(deleted);
    expect(standingOf(podOf(RUNNING), 'another')).toEqual(deleted);
    expect(standingOf(podOf(RUNNING, { deletionTimestamp: '2026-11-29T15:00:00Z' }), 'u')).toEqual(deleted);
  });

  test('because the cluster itself deletes it, for the reason that is told', () => {
    const target = { type: 'DisruptionTarget', status: 'True', reason: 'DeletionByTaintManager' };
    const status = { ...RUNNING, conditions: [...RUNNING.conditions, target] };
    const pod = podOf(status, { deletionTimestamp: '2026-11-29T15:00:00Z' });
    expect(standingOf(pod, 'u')).toEqual(gone('its node did not answer for too long, or was closed to it'));
  });

  test.each([
    [
      { phase: 'Failed', reason: 'Evicted', message: 'The node was low on resource: memory. ' },
      'its node evicted it: The node was low on resource: memory',
    ],
    [
      {
        phase: 'Failed',
        reason: 'DeadlineExceeded',
        message: 'Pod was active on the node longer than the specified deadline',
      },
      'it reached the longest lifetime of a sandbox: Pod was active on the node longer than the specified deadline',
    ],
    [{ phase: 'Succeeded' }, 'its main process ended'],
    [{ phase: 'Failed', reason: 'NodeAffinity' }, 'its node ended it (NodeAffinity)'],
    [
      { phase: 'Failed', containerStatuses: [ended({ reason: 'OOMKilled', exitCode: 137 })] },
      'the memory limit ended all of it',
    ],
    [{ ...RUNNING, containerStatuses: [ended({ reason: 'Error', exitCode: 255 })] }, 'its main process ended'],
  ])('with %j, for the reason that is told', (status, why) => {
    expect(standingOf(podOf(status), 'u')).toEqual(gone(why));
  });

  test('for a reason that is told on one line, and not at any length', () => {
    const standing = standingOf(
      podOf({ phase: 'Failed', reason: 'Evicted', message: `a\nb ${'x'.repeat(9999)}: no route to host.` }),
      'u',
    );
    const why = standing.kind === 'gone' ? standing.why : '';
    expect(why).toMatch(/^its node evicted it: a b x+ … x+: no route to host$/);
    expect(why.length).toBeLessThan(400);
  });
});

function ended(terminated: { reason: string; exitCode: number }) {
  return { name: 'sandbox', ready: false, state: { terminated } };
}
