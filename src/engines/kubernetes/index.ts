import type { Log } from '../../log.ts';
import type { OpenedEngine, SandboxProfile } from '../../sandbox/engine.ts';
import type { EngineOpenOptions } from '../options.ts';
import { openAccess } from './api/access.ts';
import { KubernetesClient } from './api/client.ts';
import { arbitraryPod, kubernetesAssurances } from './assurances.ts';
import { comparePod } from './compare-pod.ts';
import { KubernetesEngine } from './engine.ts';
import { LABELS, podOptions } from './pod-spec.ts';
import { clusterImage, type KubernetesSettings } from './settings.ts';
import { ClusterState } from './state/cluster-state.ts';
import type { IsFit } from './state/sandboxes.ts';
import { assertSuitable } from './suitability.ts';

/**
 * Connects to the cluster that the settings name.
 * @throws GloveboxError `engine_unavailable` with the reason and the next step
 */
export async function openKubernetes(
  settings: KubernetesSettings,
  { log, signal }: Pick<EngineOpenOptions, 'log' | 'signal'>,
): Promise<OpenedEngine> {
  const profile = profileOf(settings);
  const client = await connectCluster(settings, log);
  const engine = new KubernetesEngine(client, settings, log, { signal });
  try {
    await assertSuitable(client, {
      ...{ runtime: profile.runtime, pod: arbitraryPod(profile, settings) },
      isShared: settings.state === 'cluster',
    });
    await engine.watch();
    const assurances = kubernetesAssurances({ client, settings, profile, log });
    const join: OpenedEngine['join'] = async (options) =>
      await ClusterState.join({ ...options, client, isFit: fitnessOf(profile, settings), log });
    return { engine, profile, assurances, join, close: () => engine[Symbol.dispose]() };
  } catch (error) {
    engine[Symbol.dispose]();
    throw error;
  }
}

/** Finds the access to the cluster. @throws GloveboxError `engine_unavailable` */
export async function connectCluster(settings: KubernetesSettings, log: Log): Promise<KubernetesClient> {
  const { hostEnvironment, kubernetesContext: context, kubernetesNamespace: namespace } = settings;
  return new KubernetesClient(await openAccess({ hostEnvironment, context, namespace, log }));
}

/** Returns whether a pod is as one that is made with these settings, and as it was made. */
function fitnessOf(profile: SandboxProfile, settings: KubernetesSettings): IsFit {
  return ({ metadata: { labels } }, whole) => {
    const uid = Number(labels[LABELS.uid]);
    if (!Number.isSafeInteger(uid)) return false;
    const own = podOptions({ ...profile, key: labels[LABELS.key] ?? '', instance: '', uid }, settings);
    const isSame = own.metadata.labels[LABELS.profile] === labels[LABELS.profile];
    return isSame && comparePod(own, whole).every(({ name }) => settings.allowMissing.includes(name));
  };
}

function profileOf({ image, memoryMb, cpus, pids, diskMb, maxLifetimeS, runtime }: KubernetesSettings): SandboxProfile {
  const sizes = { memoryMb, cpus, pids, diskMb, maxLifetimeS };
  return { image: clusterImage(image), ...sizes, ...(runtime ? { runtime } : {}) };
}
