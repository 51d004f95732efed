import { randomBytes } from 'node:crypto';
import { expect, test, vi } from 'vitest';
import { openTestNamespace } from '../../../test/support/test-namespace.ts';
import { serverStopping } from '../../errors.ts';
import { createLog } from '../../log.ts';
import { KubernetesClient } from './api/client.ts';
import { KubernetesEngine } from './engine.ts';

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
