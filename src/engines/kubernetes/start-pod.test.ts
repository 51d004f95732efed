import { afterEach, expect, test, vi } from 'vitest';
import { podOf, RUNNING } from '../../../test/support/pods.ts';
import { PodsServer } from '../../../test/support/pods-server.ts';
import { createLog } from '../../log.ts';
import { KubernetesClient } from './api/client.ts';
import { type PodState, podSchema } from './api/pod.ts';
import { Watch } from './api/watch.ts';
import { waitUntilRunning } from './start-pod.ts';

const ID = { name: 'glovebox-a', podUid: 'u' };
const PENDING = { phase: 'Pending' };
const UNSCHEDULED = podOf(
  {
    ...PENDING,
    conditions: [
      { type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message: '0/2 nodes: 2 Insufficient cpu.' },
    ],
  },
  {},
  { nodeName: '' },
);

afterEach(() => void vi.useRealTimers());

/** Waits for a pod that a test changes. */
async function begin(first?: PodState, signal?: AbortSignal) {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'], shouldAdvanceTime: true });
  const server = await PodsServer.start();
  if (first) server.set(first);
  const client = new KubernetesClient(server.access);
  const watch = await Watch.start(client, { path: '/pods', schema: podSchema, log: createLog('error') });
  await server.watched();
  await vi.waitFor(() => expect(watch.isCurrent).toBe(true));
  const ended = waitUntilRunning(watch, ID, { signal }).then(
    () => 'running',
    (error: unknown) => error,
  );
  const dispose = async () => {
    watch[Symbol.dispose]();
    client[Symbol.dispose]();
    await server[Symbol.asyncDispose]();
  };
  return { server, watch, ended, [Symbol.asyncDispose]: dispose };
}

test('a pod that runs is waited for through all that comes before, also where the watch hears late that it is there', async () => {
  await using begun = await begin();
  const { server, ended } = begun;
  server.set(podOf(PENDING, {}, { nodeName: '' }));
  server.set(podOf(PENDING));
  server.set(podOf(RUNNING));
  expect(await ended).toBe('running');
});

test('a pod that a node cannot start fails at once', async () => {
  await using begun = await begin(podOf(PENDING));
  const waiting = { reason: 'ErrImagePull', message: 'not found' };
  begun.server.set(podOf({ ...PENDING, containerStatuses: [{ name: 'sandbox', ready: false, state: { waiting } }] }));
  expect(await begun.ended).toMatchObject({ code: 'engine_unavailable', message: expect.stringMatching('not found') });
});

test('a pod that no node takes has a minute in which a node may be added', async () => {
  await using begun = await begin(UNSCHEDULED);
  const { server, watch, ended } = begun;
  await vi.advanceTimersByTimeAsync(55_000);
  server.set(podOf(PENDING));
  await vi.waitFor(() => expect(watch.get(ID.name)?.spec.nodeName).toBe('node1'));
  await vi.advanceTimersByTimeAsync(55_000);
  server.set(podOf(RUNNING));
  expect(await ended).toBe('running');
});

test('a pod that no node takes for longer is told with why', async () => {
  await using begun = await begin(UNSCHEDULED);
  await vi.advanceTimersByTimeAsync(62_000);
  const message = 'No node of the cluster takes another sandbox: 0/2 nodes: 2 Insufficient cpu.';
  expect(await begun.ended).toMatchObject({ code: 'capacity_exceeded', message });
});

test('a pod that starts for ever is given up', async () => {
  await using begun = await begin(podOf(PENDING));
  await vi.advanceTimersByTimeAsync(302_000);
  expect(await begun.ended).toMatchObject({ message: expect.stringMatching('within 300 s') });
});

test('a start ends when the API server tells nothing more', async () => {
  await using begun = await begin(podOf(PENDING));
  await begun.server.fallSilent();
  await vi.waitFor(() => expect(begun.watch.isCurrent).toBe(false));
  await vi.advanceTimersByTimeAsync(32_000);
  expect(await begun.ended).toMatchObject({ code: 'engine_unavailable', hint: expect.stringMatching('readyz') });
});

test('a pod that vanishes before it ran is not waited for', async () => {
  await using begun = await begin(UNSCHEDULED);
  begun.server.delete(ID.name);
  expect(await begun.ended).toMatchObject({
    code: 'engine_unavailable',
    message: expect.stringMatching('was deleted'),
  });
});

test('a pod of which the watch never tells is given up', async () => {
  await using begun = await begin();
  expect(begun.watch.isCurrent).toBe(true);
  await vi.advanceTimersByTimeAsync(32_000);
  expect(await begun.ended).toMatchObject({ code: 'engine_unavailable', hint: expect.stringMatching('readyz') });
});

test('a shutdown does not wait for a pod that no node takes', async () => {
  const stopping = new AbortController();
  await using begun = await begin(UNSCHEDULED, stopping.signal);
  stopping.abort(new Error('The server is shutting down.'));
  expect(await begun.ended).toMatchObject({ message: 'The server is shutting down.' });
});
