import { afterEach, describe, expect, test, vi } from 'vitest';
import { podOf, RUNNING } from '../../../test/support/pods.ts';
import { PodsServer } from '../../../test/support/pods-server.ts';
import { createLog } from '../../log.ts';
import { SandboxUnreachable } from '../../sandbox/engine.ts';
import { KubernetesClient } from './api/client.ts';
import { LABELS } from './pod-spec.ts';
import { Pods } from './pods.ts';
import { removePod } from './remove-pod.ts';

const ID = { name: 'glovebox-a', podUid: 'u' };
const CUT_OFF = { ...RUNNING, conditions: [{ type: 'Ready', status: 'False' }] };
const LOST_MS = 60_000;
const log = createLog('error');

afterEach(() => void vi.useRealTimers());

/** Watches a server with one pod. */
async function open(pod = podOf(RUNNING)) {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'], shouldAdvanceTime: true });
  const server = await PodsServer.start();
  server.set(pod);
  const client = new KubernetesClient(server.access);
  const pods = new Pods(client, { labelSelector: 'x', nodeLostMs: LOST_MS, log });
  await pods.watch();
  await server.watched();
  const lost = vi.fn();
  pods.onLost(ID, lost);
  const dispose = async () => {
    pods[Symbol.dispose]();
    client[Symbol.dispose]();
    await server[Symbol.asyncDispose]();
  };
  const knows = (kind: object) => vi.waitFor(() => expect(pods.known(ID)).toMatchObject(kind));
  return { server, client, pods, lost, knows, [Symbol.asyncDispose]: dispose };
}

describe('a sandbox whose node does not answer', () => {
  test('cannot be reached, and is lost once that has lasted for too long', async () => {
    await using opened = await open();
    const { server, pods, lost, knows } = opened;
    await pods.requireRunning(ID);
    server.set(podOf(CUT_OFF));
    await knows({ isCutOff: true });
    const refusal: unknown = await pods.requireRunning(ID).catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(SandboxUnreachable);
    expect(refusal).toMatchObject({ code: 'engine_unavailable', message: expect.stringContaining('"node1"') });
    await vi.advanceTimersByTimeAsync(LOST_MS - 5000);
    expect(lost).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(5000);
    expect(lost).toHaveBeenCalledOnce();
    const message = expect.stringContaining('has not been ready for 60 s');
    await expect(pods.requireRunning(ID)).rejects.toMatchObject({ code: 'sandbox_lost', message });
  });

  test('is as before when it answers again, and has all of the time once more', async () => {
    await using opened = await open();
    const { server, pods, lost, knows } = opened;
    for (let time = 0; time < 3; time += 1) {
      server.set(podOf(CUT_OFF));
      await knows({ isCutOff: true });
      await vi.advanceTimersByTimeAsync(LOST_MS - 5000);
      server.set(podOf(RUNNING));
      await knows({ isCutOff: false });
    }
    await pods.requireRunning(ID);
    expect(lost).not.toHaveBeenCalled();
  });

  test('is not lost while the API server says nothing: it may have come back', async () => {
    await using opened = await open();
    const { server, pods, lost, knows } = opened;
    server.set(podOf(CUT_OFF));
    await knows({ isCutOff: true });
    await server.fallSilent();
    await vi.waitFor(() => expect(pods.known(ID)).toBeUndefined());
    await vi.advanceTimersByTimeAsync(2 * LOST_MS);
    expect(lost).not.toHaveBeenCalled();
    server.resume();
    await vi.waitFor(() => expect(lost).toHaveBeenCalledOnce(), { timeout: 30_000 });
  });

  test('has its pod left to the cluster when it is removed', async () => {
    await using opened = await open(podOf(CUT_OFF));
    const { client, pods, server } = opened;
    await removePod(client, pods, ID, log);
    expect(server.pods.get(ID.name)?.metadata.deletionTimestamp).toBeDefined();
  });
});

test('a server that slept removed a pod that another one had adopted meanwhile', async () => {
  await using opened = await open();
  const { client, pods, server } = opened;
  // As after a sleep: it has not heard of what has changed.
  await server.fallSilent();
  server.set(podOf({ ...RUNNING, message: 'written down by the kubelet' }, { annotations: { [LABELS.adopted]: '1' } }));
  await removePod(client, pods, ID, log);
  expect(server.pods.get(ID.name)?.metadata.deletionTimestamp).toBeUndefined();
  expect(server.asked.filter((line) => line.startsWith('DELETE'))).toHaveLength(1);
  // Nor does the one that has adopted it believe that it has not. It would wait for the end of the pod.
  void removePod(client, pods, { ...ID, adoptions: 1 }, log).catch(() => {});
  await vi.waitFor(() => expect(server.pods.get(ID.name)?.metadata.deletionTimestamp).toBeDefined());
});

describe('a sandbox whose pod ends', () => {
  test('is lost at once, and is told as what it is also when the pod is gone', async () => {
    await using opened = await open();
    const { server, pods, lost } = opened;
    server.set(podOf({ phase: 'Failed', reason: 'Evicted', message: 'The node was low on resource: memory.' }));
    await vi.waitFor(() => expect(lost).toHaveBeenCalledOnce());
    server.delete(ID.name);
    await vi.waitFor(() => expect(pods.known(ID)).toMatchObject({ kind: 'gone' }));
    const message = 'The sandbox of this session is gone: its node evicted it: The node was low on resource: memory.';
    await expect(pods.requireRunning(ID)).rejects.toMatchObject({ code: 'sandbox_lost', message });
    expect(lost).toHaveBeenCalledOnce();
  });

  test('is lost also if another pod has its name', async () => {
    await using opened = await open();
    const { server, pods, lost } = opened;
    server.delete(ID.name);
    server.set(podOf(RUNNING, { uid: 'another' }));
    await vi.waitFor(() => expect(lost).toHaveBeenCalledOnce());
    await expect(pods.requireRunning(ID)).rejects.toMatchObject({ code: 'sandbox_lost' });
    await pods.requireRunning({ ...ID, podUid: 'another' });
  });

  test('is removed only when its processes have ended', async () => {
    await using opened = await open();
    const { client, pods, server } = opened;
    const removed = vi.fn();
    const removing = removePod(client, pods, ID, log).then(removed);
    await vi.waitFor(() => expect(server.pods.get(ID.name)?.metadata.deletionTimestamp).toBeDefined());
    expect(removed).not.toHaveBeenCalled();
    server.delete(ID.name);
    await removing;
    await removePod(client, pods, ID, log);
  });
});
