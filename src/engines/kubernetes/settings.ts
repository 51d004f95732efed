import { GloveboxError } from '../../errors.ts';
import type { Protection } from '../../sandbox/assurances.ts';
import type { ClusterEnvironment } from './api/access.ts';

/** Settings of a cluster and of the sandboxes in it. Sizes are in MiB, times in seconds. */
export interface KubernetesSettings {
  readonly hostEnvironment: ClusterEnvironment;
  /** Reference of the image of the sandboxes. The nodes pull it. */
  readonly image: string;
  readonly memoryMb: number;
  readonly cpus: number;
  readonly pids: number;
  readonly diskMb: number;
  readonly maxLifetimeS: number;
  /** Protections that sandboxes may lack. */
  readonly allowMissing: readonly Protection[];
  /** RuntimeClass of the pods; the cluster's own default if left out. */
  readonly runtime?: string;
  /** Whether several control planes share its sandboxes (`cluster`). */
  readonly state?: 'directory' | 'cluster';
  readonly kubernetesContext?: string;
  readonly kubernetesNamespace?: string;
  /** Labels as `key=value`. */
  readonly kubernetesNodeSelector: readonly string[];
  /** Taints as `key=value:Effect` or `key:Effect`. */
  readonly kubernetesTolerations: readonly string[];
  readonly kubernetesCpuRequest: number;
  readonly kubernetesMemoryRequestMb: number;
  readonly kubernetesPullSecret?: string;
  /** `runtime`, or the file of a profile on the nodes. */
  readonly kubernetesSeccomp: string;
  /** Whether each pod has a user namespace of its own (1). */
  readonly kubernetesUserNamespaces: number;
  /** How long a node may be not ready before its sandboxes count as lost. */
  readonly kubernetesNodeLostS: number;
}

/**
 * Refuses images that only Docker's engine can build, each on its own machine.
 * @throws GloveboxError `engine_unavailable` with the next step
 */
export function clusterImage(image: string): string {
  if (image !== 'data' && image !== 'slim') return image;
  throw new GloveboxError(
    'engine_unavailable',
    `GLOVEBOX_IMAGE is ${image}, and the nodes of a cluster pull an image by its whole reference.`,
    {
      hint: `Build one: glovebox image --kubernetes --image ${image} --tag REGISTRY/glovebox-sandbox:VERSION. Push it, and set GLOVEBOX_IMAGE to that reference.`,
    },
  );
}
