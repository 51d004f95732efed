import { randomBytes } from 'node:crypto';
import { expect, test, vi } from 'vitest';
import { z } from 'zod';
import { openTestNamespace } from '../../../test/support/test-namespace.ts';
import { serverStopping } from '../../errors.ts';
import { createLog } from '../../log.ts';
import { KubernetesClient } from './api/client.ts';
import { podPath } from './api/pod.ts';
import { KubernetesEngine } from './engine.ts';

const strings = z.record(z.string(), z.string());
const copiedSchema = z.object({
  spec: z.looseObject({}),
  metadata: z.object({ labels: strings, annotations: strings }),
});

test('a shutdown leaves no pod that waits for a node', async () => {
  await using namespace = await openTestNamespace('start');
  const { access, profile, podNames } = namespace;
  const settings = { ...namespace.settings, kubernetesNodeSelector: ['glovebox.test/none=1'] };
  const stopping = new AbortController();
  using engine = new KubernetesEngine(new KubernetesClient(access), settings, createLog('error'), {
    signal: stopping.signal,
  });
  const spec = () => ({ key: randomBytes(8).toString('hex'), instance: 'start', ...profile });
  const starting = expect(engine.start(spec())).rejects.toThrow('shutting down');
  await vi.waitFor(async () => expect(await podNames()).toHaveLength(1), 20_000);
  stopping.abort(serverStopping());
  await starting;
  expect(await podNames()).toEqual([]);
  await expect(engine.start(spec())).rejects.toThrow('shutting down');
  expect(await podNames()).toEqual([]);
});

test('a copy of the pod of a sandbox is no sandbox: what removes what is left over would not find it', async () => {
  await using namespace = await openTestNamespace('copies');
  const { access, client, profile, settings, name } = namespace;
  using engine = new KubernetesEngine(new KubernetesClient(access), settings, createLog('error'));
  const key = randomBytes(8).toString('hex');
  const { ref } = await engine.start({ key, instance: 'copies', ...profile });
  const pod = await client.request('GET', podPath(name, `glovebox-${key}`), { schema: copiedSchema });
  for (const labels of [pod.metadata.labels, { ...pod.metadata.labels, 'glovebox.key': 'Not.a_key' }]) {
    const metadata = { ...pod.metadata, generateName: 'copy-', labels };
    await client.request('POST', podPath(name), { body: { ...pod, metadata }, schema: z.unknown() });
  }
  expect((await engine.list()).map((sandbox) => sandbox.ref)).toEqual([ref]);
  await engine.remove(ref);
  expect(await engine.list()).toEqual([]);
});
