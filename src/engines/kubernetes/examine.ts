import { attempt, type Finding } from '../../lib/finding.ts';
import { createLog } from '../../log.ts';
import type { ExamineOptions } from '../options.ts';
import { openAccess } from './api/access.ts';
import { KubernetesClient } from './api/client.ts';
import { arbitraryPod } from './assurances.ts';
import { clusterImage, type KubernetesSettings } from './settings.ts';
import { lookAtCluster } from './suitability.ts';

/**
 * Examines a cluster and its sandboxes. Looks into one only if nothing is known to prevent that.
 * @throws GloveboxError `engine_unavailable` if the API server does not answer
 */
export async function examineKubernetes(
  settings: KubernetesSettings,
  { tell, runProbe }: ExamineOptions,
): Promise<readonly Finding[]> {
  const { hostEnvironment, kubernetesContext: context, kubernetesNamespace: namespace, runtime } = settings;
  const image = clusterImage(settings.image);
  const access = await openAccess({ hostEnvironment, context, namespace, log: createLog('warn') });
  using client = new KubernetesClient(access);
  const pod = arbitraryPod({ ...settings, image }, settings);
  const found = await lookAtCluster(client, { runtime, pod, isShared: settings.state === 'cluster' });
  tell(found);
  return found.some(([level]) => level === 'fail') ? [] : await attempt('sandbox', runProbe);
}
