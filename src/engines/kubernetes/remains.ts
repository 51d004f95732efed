import type { Log } from '../../log.ts';
import type { SandboxInfo } from '../../sandbox/engine.ts';
import type { EngineRemains } from '../remains.ts';
import { KubernetesEngine } from './engine.ts';
import { connectCluster } from './index.ts';
import type { KubernetesSettings } from './settings.ts';

/**
 * Finds what Glovebox has left in a cluster: pods. Images are the nodes' own affair.
 * @throws GloveboxError `engine_unavailable` when the API server does not answer
 */
export async function findRemains(settings: KubernetesSettings, log: Log): Promise<EngineRemains> {
  const client = await connectCluster(settings, log);
  const engine = new KubernetesEngine(client, settings, log);
  const { name, version } = await engine.info();
  return {
    engine: `${name} ${version} at ${client.access.server.origin}, namespace ${client.namespace}`,
    sandboxes: await engine.list(),
    images: [],
    installedAt: undefined,
    removeSandbox: async ({ ref }: SandboxInfo) => await engine.remove(ref),
    removeImage: async () => false,
  };
}
