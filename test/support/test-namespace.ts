import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import { loadConfig } from '../../src/config/load.ts';
import { type ClusterAccess, openAccess } from '../../src/engines/kubernetes/api/access.ts';
import { KubernetesClient } from '../../src/engines/kubernetes/api/client.ts';
import { podPath } from '../../src/engines/kubernetes/api/pod.ts';
import type { KubernetesSettings } from '../../src/engines/kubernetes/settings.ts';
import { createLog } from '../../src/log.ts';
import type { SandboxProfile } from '../../src/sandbox/engine.ts';

/** A namespace that one test file has for itself in the cluster of `KUBECONFIG`. */
export interface TestNamespace extends AsyncDisposable {
  readonly name: string;
  readonly access: ClusterAccess;
  readonly client: KubernetesClient;
  readonly settings: KubernetesSettings;
  readonly profile: SandboxProfile;
  podNames(): Promise<string[]>;
}

const anything = z.unknown();
const namesSchema = z.object({ items: z.array(z.object({ metadata: z.object({ name: z.string() }) })) });

/**
 * Makes a namespace, which disposing removes with all that is in it.
 * @param kubeconfig a cluster other than that of the environment
 */
export async function openTestNamespace(what: string, kubeconfig?: string): Promise<TestNamespace> {
  const name = `glovebox-${what}-${randomBytes(4).toString('hex')}`;
  const sizes = { memoryMb: 256, cpus: 1, pids: 64, diskMb: 64, maxLifetimeS: 600 };
  const config = loadConfig(undefined, { engine: 'kubernetes', kubernetes_namespace: name });
  const { hostEnvironment } = config;
  const kubernetes = kubeconfig === undefined ? hostEnvironment.kubernetes : { kubeconfig };
  const log = createLog('error');
  const access = await openAccess({ hostEnvironment: { ...hostEnvironment, kubernetes }, namespace: name, log });
  const client = new KubernetesClient(access);
  await client.request('POST', '/api/v1/namespaces', {
    body: { apiVersion: 'v1', kind: 'Namespace', metadata: { name } },
    schema: anything,
  });
  return {
    ...{ name, access, client },
    settings: { ...config, ...sizes },
    profile: { image: config.image, ...sizes },
    podNames: async () => {
      const { items } = await client.request('GET', podPath(name), { schema: namesSchema });
      return items.map(({ metadata }) => metadata.name);
    },
    [Symbol.asyncDispose]: async () => {
      await client.request('DELETE', `/api/v1/namespaces/${name}`, { schema: anything });
      client[Symbol.dispose]();
    },
  };
}
