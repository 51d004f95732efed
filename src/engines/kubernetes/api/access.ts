import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { GloveboxError } from '../../../errors.ts';
import type { Log } from '../../../log.ts';
import { proxyFor } from '../../../outbound/proxy.ts';
import { rotatingToken, userCredentials } from './credentials.ts';
import type { CredentialSource } from './identity.ts';
import { type ChosenContext, chooseContext, readKubeconfig } from './kubeconfig.ts';
import { fileOrData, type KubeconfigCluster } from './kubeconfig-file.ts';

/** Where Kubernetes puts the access of a pod's service account. */
const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';
/** Namespace of a context that names none. */
const DEFAULT_NAMESPACE = 'default';

/** What this host says of its cluster. */
export interface ClusterEnvironment {
  readonly kubernetes: {
    /** `KUBECONFIG`: one file, or several with the separator of paths between them. */
    readonly kubeconfig?: string | undefined;
    /** `KUBERNETES_SERVICE_HOST` and `KUBERNETES_SERVICE_PORT`, which every pod has. */
    readonly service?: { readonly host: string; readonly port: string } | undefined;
  };
  /** Returns the environment of this process with more variables, for programs that hand out credentials. */
  readonly environmentWith: (more: Readonly<Record<string, string>>) => NodeJS.ProcessEnv;
  readonly proxy: Readonly<Record<string, string>>;
  readonly home: string;
}

export interface AccessOptions {
  readonly hostEnvironment: ClusterEnvironment;
  /** Context of the kubeconfig; its current one if left out. */
  readonly context?: string | undefined;
  /** Namespace of the sandboxes; that of the context, or of this pod, if left out. */
  readonly namespace?: string | undefined;
  readonly log: Log;
  /** Folder of the pod's service account; where Kubernetes puts it if left out. */
  readonly serviceAccountDir?: string;
}

/** How the API server of a cluster is reached, and as whom. */
export interface ClusterAccess {
  readonly server: URL;
  /** Origin of the access, for messages: `the context "x" of the kubeconfig` or `the service account of this pod`. */
  readonly source: string;
  readonly namespace: string;
  /** Whom TLS trusts. Without authorities, those of Node. */
  readonly trust: { readonly ca?: string; readonly servername?: string; readonly rejectUnauthorized?: false };
  readonly proxy: URL | undefined;
  readonly credentials: CredentialSource;
}

/**
 * Finds the cluster: that of a kubeconfig, or else the one in which this process is a pod.
 * @throws GloveboxError `engine_unavailable` with the reason and the next step
 */
export async function openAccess(options: AccessOptions): Promise<ClusterAccess> {
  const { hostEnvironment, context } = options;
  const { kubeconfig, service } = hostEnvironment.kubernetes;
  const config = await readKubeconfig(kubeconfig, hostEnvironment.home);
  if (config) return await fromContext(chooseContext(config, context), options);
  if (service) return await fromServiceAccount(service.host, service.port, options);
  throw new GloveboxError('engine_unavailable', 'No Kubernetes cluster is configured for this process.', {
    hint: 'Set KUBECONFIG to the file with the access to the cluster, or put it at ~/.kube/config. In a pod, leave automountServiceAccountToken on.',
  });
}

async function fromContext(chosen: ChosenContext, options: AccessOptions): Promise<ClusterAccess> {
  const { hostEnvironment, log } = options;
  const { cluster, user } = chosen;
  const source = `the context "${chosen.name}" of the kubeconfig`;
  const server = parseServer(cluster, source);
  const proxy = proxyOf(cluster, server, source, hostEnvironment.proxy);
  const isUnsafe = cluster['insecure-skip-tls-verify'] === true;
  if (isUnsafe) log.warn('the API server may be anyone: insecure-skip-tls-verify is set', { server: server.origin });
  const ca = await fileOrData(cluster, 'certificate-authority');
  return {
    server,
    source,
    namespace: options.namespace ?? chosen.namespace ?? DEFAULT_NAMESPACE,
    trust: {
      ...(ca === undefined ? {} : { ca }),
      ...(cluster['tls-server-name'] ? { servername: cluster['tls-server-name'] } : {}),
      ...(isUnsafe ? { rejectUnauthorized: false } : {}),
    },
    proxy,
    credentials: userCredentials(user, { cluster, ca, source, environmentWith: hostEnvironment.environmentWith }),
  };
}

async function fromServiceAccount(host: string, port: string, options: AccessOptions): Promise<ClusterAccess> {
  const folder = options.serviceAccountDir ?? SERVICE_ACCOUNT;
  try {
    const [ca, namespace] = await Promise.all([
      readFile(join(folder, 'ca.crt'), 'utf8'),
      readFile(join(folder, 'namespace'), 'utf8'),
    ]);
    return {
      server: new URL(`https://${host.includes(':') ? `[${host}]` : host}:${port}`),
      source: 'the service account of this pod',
      namespace: options.namespace ?? namespace.trim(),
      trust: { ca },
      proxy: undefined,
      credentials: rotatingToken(join(folder, 'token')),
    };
  } catch (cause) {
    throw new GloveboxError('engine_unavailable', 'This pod has no access to the API server of its cluster.', {
      hint: 'Give the pod a service account, and do not set automountServiceAccountToken to false.',
      cause,
    });
  }
}

function parseServer({ server }: KubeconfigCluster, source: string): URL {
  const url = URL.parse(server);
  if (url && (url.protocol === 'https:' || url.protocol === 'http:')) return url;
  throw new GloveboxError('engine_unavailable', `${source} names no http:// or https:// address: "${server}".`, {
    hint: 'Correct "server" of its cluster in the kubeconfig.',
  });
}

/** The proxy that the kubeconfig names, or that of the host. */
function proxyOf(
  cluster: KubeconfigCluster,
  server: URL,
  source: string,
  ofHost: Readonly<Record<string, string>>,
): URL | undefined {
  const named = cluster['proxy-url'];
  if (!named) return proxyFor(server, ofHost);
  const url = URL.parse(named);
  if (url && (url.protocol === 'http:' || url.protocol === 'https:')) return url;
  throw new GloveboxError('engine_unavailable', `The proxy-url of ${source} is not an HTTP proxy: "${named}".`, {
    hint: 'Set it to an HTTP proxy such as http://proxy.example:3128, or remove it.',
  });
}
