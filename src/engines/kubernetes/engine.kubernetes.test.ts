import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { openTestNamespace, type TestNamespace } from '../../../test/support/test-namespace.ts';
import { createLog } from '../../log.ts';
import { Channel } from '../../protocol/channel.ts';
import type { SandboxProfile } from '../../sandbox/engine.ts';
import { KubernetesClient } from './api/client.ts';
import { podPath } from './api/pod.ts';
import { KubernetesEngine } from './engine.ts';
import type { KubernetesSettings } from './settings.ts';
import { START_LIMITS } from './start-pod.ts';
import { adoptPod } from './state/sandboxes.ts';

const log = createLog('error');
const anything = z.unknown();

let namespace: TestNamespace;
let engine: KubernetesEngine;
let keys = 0;

beforeAll(async () => {
  namespace = await openTestNamespace('engine');
  engine = new KubernetesEngine(new KubernetesClient(namespace.access), namespace.settings, log);
});

afterAll(async () => {
  engine?.[Symbol.dispose]();
  await namespace?.[Symbol.asyncDispose]();
});

/** What is to be started. */
function specify(change: Partial<SandboxProfile> = {}) {
  keys += 1;
  return { ...namespace.profile, instance: 'test', key: `engine${keys}`, ...change };
}

/** Starts a sandbox that cannot be, by an engine with other settings. Returns why. */
async function refusal(
  settings: Partial<KubernetesSettings> = {},
  change: Partial<SandboxProfile> = {},
): Promise<unknown> {
  const { access } = namespace;
  const limits = { ...START_LIMITS, unscheduledMs: 1000 };
  using other = new KubernetesEngine(new KubernetesClient(access), { ...namespace.settings, ...settings }, log, {
    limits,
  });
  const error: unknown = await other.start(specify(change)).catch((thrown: unknown) => thrown);
  expect(await namespace.podNames()).not.toContain(`glovebox-engine${keys}`);
  return error;
}

/** Has an object in the namespace while something is done. */
async function having<T>(path: string, name: string, object: object, act: () => Promise<T>): Promise<T> {
  const { client } = namespace;
  const collection = `/api/v1/namespaces/${namespace.name}/${path}`;
  await client.request('POST', collection, { body: { metadata: { name }, ...object }, schema: anything });
  try {
    return await act();
  } finally {
    await client.request('DELETE', `${collection}/${name}`, { schema: anything });
  }
}

const says = (message: RegExp, hint: RegExp, code = 'engine_unavailable') => ({
  ...{ code, message: expect.stringMatching(message), hint: expect.stringMatching(hint) },
});

describe('a sandbox that cannot start is told with why, and leaves nothing:', () => {
  test('no node takes it', async () => {
    const error = await refusal({ kubernetesNodeSelector: ['glovebox.test/none=here'] });
    expect(error).toMatchObject(says(/No node.*match/, /NODE_SELECTOR/, 'capacity_exceeded'));
  });

  test('its filter of system calls is missing on the node', async () => {
    expect(await refusal({ kubernetesSeccomp: 'missing.json' })).toMatchObject(says(/seccomp/, /SECCOMP=runtime/));
  });

  test('its image has no main process for pods', async () => {
    const error = await refusal({}, { image: 'glovebox.local/pause:1' });
    expect(error).toMatchObject(says(/hold|image/, /image --kubernetes|GLOVEBOX_IMAGE/));
  });

  test('there is no such RuntimeClass', async () => {
    expect(await refusal({}, { runtime: 'missing' })).toMatchObject(says(/RuntimeClass/, /GLOVEBOX_RUNTIME/));
  });

  test('the quota of the namespace is reached', async () => {
    const quota = { spec: { hard: { pods: '0' } } };
    const error = await having('resourcequotas', 'none', quota, async () => {
      // A new quota counts once its use is known.
      await expect.poll(async () => (await quotaStatus('none'))?.['pods']).toBe('0');
      return await refusal();
    });
    expect(error).toMatchObject(says(/quota/, /ResourceQuota/, 'capacity_exceeded'));
  });

  test('what admits pods to the namespace refuses it', async () => {
    const range = { spec: { limits: [{ type: 'Container', max: { memory: '32Mi' } }] } };
    const error = await having('limitranges', 'small', range, () => refusal());
    expect(error).toMatchObject(says(/32Mi/, /./));
  });

  test('the credentials are not good any more', async () => {
    const credentials = async () => ({ headers: { authorization: 'Bearer expired' } });
    using other = new KubernetesEngine(
      new KubernetesClient({ ...namespace.access, credentials }),
      namespace.settings,
      log,
    );
    await expect(other.start(specify())).rejects.toMatchObject(says(/credentials/, /expired/));
    await expect(other.info()).rejects.toMatchObject({ code: 'engine_unavailable' });
  });
});

async function quotaStatus(name: string) {
  const hard = z.record(z.string(), z.string()).optional();
  const schema = z.object({ status: z.object({ hard }) });
  const path = `/api/v1/namespaces/${namespace.name}/resourcequotas/${name}`;
  return (await namespace.client.request('GET', path, { schema })).status.hard;
}

describe('a sandbox that is taken away', () => {
  /** Starts one, takes it away, and returns why a next connection is refused. */
  async function lose(take: (path: string) => Promise<unknown>): Promise<unknown> {
    const spec = specify();
    const { ref } = await engine.start(spec);
    const channel = await Channel.open(await engine.connect(ref));
    await take(podPath(namespace.name, `glovebox-${spec.key}`));
    await channel.closed;
    const error: unknown = await engine.connect(ref).catch((thrown: unknown) => thrown);
    await engine.remove(ref);
    return error;
  }

  test('by hand is lost', async () => {
    const error = await lose((path) => namespace.client.request('DELETE', path, { schema: anything }));
    expect(error).toMatchObject({ code: 'sandbox_lost', message: expect.stringMatching(/its pod was deleted/) });
  });

  test('because its node is emptied is lost, and says so', async () => {
    const error = await lose((path) => {
      const name = path.slice(path.lastIndexOf('/') + 1);
      const body = { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name } };
      return namespace.client.request('POST', `${path}/eviction`, { body, schema: anything });
    });
    expect(error).toMatchObject({ code: 'sandbox_lost', message: expect.stringMatching(/its node is being emptied/) });
  });

  test('by another server that has adopted it is not removed by the one that made it', async () => {
    const { ref } = await engine.start({ ...specify(), isPooled: true });
    const taken = await adoptPod(namespace.client, { ref, from: 'test', to: 'another' }, () => true);
    await engine.remove(ref);
    const others = (await engine.list()).filter(({ instance }) => instance === 'another');
    expect(others).toMatchObject([{ ref: taken, running: true }]);
    await engine.remove(taken ?? '');
    expect((await engine.list()).filter(({ instance }) => instance === 'another')).toEqual([]);
  });

  test('at the longest lifetime ends by itself, and says so', async () => {
    const { ref } = await engine.start(specify({ maxLifetimeS: 3 }));
    await expect
      .poll(
        async () =>
          await engine.connect(ref).then(
            (stream) => stream.destroy(),
            (error: Error) => error.message,
          ),
      )
      .toMatch(/longest lifetime/);
    await engine.remove(ref);
  });
});
