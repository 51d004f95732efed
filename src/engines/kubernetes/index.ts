import { GloveboxError } from '../../errors.ts';
import type { OpenedEngine } from '../../sandbox/engine.ts';
import { clusterImage, type KubernetesSettings } from './settings.ts';

/**
 * Connects to the cluster that the settings name.
 * @throws GloveboxError `engine_unavailable` with the reason and the next step
 */
export async function openKubernetes(settings: KubernetesSettings): Promise<OpenedEngine> {
  clusterImage(settings.image);
  throw new GloveboxError('engine_unavailable', 'This version cannot make sandboxes in a cluster yet.', {
    hint: 'Leave GLOVEBOX_ENGINE out.',
  });
}
