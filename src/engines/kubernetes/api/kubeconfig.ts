import { delimiter, join } from 'node:path';
import { GloveboxError } from '../../../errors.ts';
import { type Kubeconfig, type KubeconfigCluster, type KubeconfigUser, readFileOf } from './kubeconfig-file.ts';

export interface ChosenContext {
  readonly name: string;
  readonly cluster: KubeconfigCluster;
  readonly user: KubeconfigUser;
  readonly namespace: string | undefined;
}

/**
 * Reads the files of `KUBECONFIG`, or else `~/.kube/config`, as one. As for kubectl, the first that says something counts,
 * and those that are missing count as empty.
 * @returns undefined if there is none
 * @throws GloveboxError `engine_unavailable` if one cannot be read, or if `KUBECONFIG` names only missing files
 */
export async function readKubeconfig(setting: string | undefined, home: string): Promise<Kubeconfig | undefined> {
  const named = setting?.split(delimiter).filter(Boolean) ?? [];
  const paths = named.length > 0 ? named : [join(home, '.kube', 'config')];
  const files = (await Promise.all(paths.map(readFileOf))).filter((file) => file !== undefined);
  if (files.length > 0) return merge(files);
  if (named.length === 0) return undefined;
  throw new GloveboxError('engine_unavailable', `The kubeconfig ${named.join(', ')} does not exist.`, {
    hint: 'Correct KUBECONFIG, or unset it to use ~/.kube/config.',
  });
}

function merge(files: readonly Kubeconfig[]): Kubeconfig {
  // Of two equal names the last entry of a Map counts, hence from the last file to the first.
  const reversed = files.toReversed();
  return {
    currentContext: files.find(({ currentContext }) => currentContext)?.currentContext,
    contexts: new Map(reversed.flatMap(({ contexts }) => [...contexts])),
    clusters: new Map(reversed.flatMap(({ clusters }) => [...clusters])),
    users: new Map(reversed.flatMap(({ users }) => [...users])),
  };
}

/** Finds a context, or the current one. @throws GloveboxError `engine_unavailable` with the names that there are */
export function chooseContext(config: Kubeconfig, wanted: string | undefined): ChosenContext {
  const name = wanted ?? config.currentContext;
  if (!name) {
    throw new GloveboxError('engine_unavailable', 'The kubeconfig has no current context.', {
      hint: `Set GLOVEBOX_KUBERNETES_CONTEXT, or run "kubectl config use-context NAME". ${namesOf(config)}`,
    });
  }
  const context = config.contexts.get(name);
  if (!context) {
    throw new GloveboxError('engine_unavailable', `The kubeconfig has no context "${name}".`, {
      hint: wanted
        ? `Correct GLOVEBOX_KUBERNETES_CONTEXT. ${namesOf(config)}`
        : `Set GLOVEBOX_KUBERNETES_CONTEXT, or run "kubectl config use-context NAME". ${namesOf(config)}`,
    });
  }
  const cluster = config.clusters.get(context.cluster);
  const user = context.user ? config.users.get(context.user) : {};
  if (!cluster || !user) {
    const missing = cluster ? `user "${context.user}"` : `cluster "${context.cluster}"`;
    throw new GloveboxError('engine_unavailable', `The context "${name}" names the ${missing}, which is missing.`, {
      hint: 'Correct the kubeconfig, or choose another context with GLOVEBOX_KUBERNETES_CONTEXT.',
    });
  }
  return { name, cluster, user, namespace: context.namespace || undefined };
}

function namesOf({ contexts }: Kubeconfig): string {
  return contexts.size > 0 ? `It has: ${[...contexts.keys()].sort().join(', ')}.` : 'It has no contexts at all.';
}
