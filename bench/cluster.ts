import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import { Lab } from '../scripts/kubernetes/lab.ts';
import { ensureProgram } from '../scripts/kubernetes/program.ts';
import { loadConfig } from '../src/config/load.ts';
import { openAccess } from '../src/engines/kubernetes/api/access.ts';
import { KubernetesClient } from '../src/engines/kubernetes/api/client.ts';
import { podPath, podSchema } from '../src/engines/kubernetes/api/pod.ts';
import { Watch } from '../src/engines/kubernetes/api/watch.ts';
import { createLog } from '../src/log.ts';
import { environment } from './environment.ts';
import { run } from './programs.ts';
import { CLI } from './server.ts';

const GONE_LIMIT_MS = 60_000;
const NAMESPACES = '/api/v1/namespaces';
const report = (line: string) => void process.stderr.write(`bench: ${line}\n`);

/** A namespace of a cluster, for the pods of this run. Disposing of it removes both, and the cluster if it is the run's. */
export interface Cluster extends AsyncDisposable {
  /** Of servers whose sandboxes are in that namespace. */
  readonly env: Readonly<Record<string, string>>;
  readonly flags: readonly string[];
  readonly client: KubernetesClient;
}

/** Opens a namespace in the cluster of `KUBECONFIG` with the image of `GLOVEBOX_IMAGE`, or else in a lab. */
export async function openCluster(image: string): Promise<Cluster> {
  await using stack = new AsyncDisposableStack();
  const { KUBECONFIG: kubeconfig, GLOVEBOX_IMAGE: reference } = process.env;
  if (kubeconfig && !reference) throw new Error('With KUBECONFIG, GLOVEBOX_IMAGE names the image that its nodes have.');
  const given = kubeconfig && reference ? { kubeconfig, image: reference } : await setUpLab(image, stack);
  const namespace = `glovebox-bench-${randomBytes(4).toString('hex')}`;
  const env = {
    ...environment(),
    KUBECONFIG: given.kubeconfig,
    GLOVEBOX_ENGINE: 'kubernetes',
    GLOVEBOX_KUBERNETES_NAMESPACE: namespace,
    // The nodes of a lab are to take more pods than they have processors for.
    GLOVEBOX_KUBERNETES_CPU_REQUEST: '0.01',
    GLOVEBOX_KUBERNETES_MEMORY_REQUEST_MB: '64',
    GLOVEBOX_KUBERNETES_SECCOMP: process.env['GLOVEBOX_KUBERNETES_SECCOMP'] ?? 'glovebox.json',
  };
  const { hostEnvironment } = loadConfig(env);
  const client = stack.use(
    new KubernetesClient(await openAccess({ hostEnvironment, namespace, log: createLog('warn') })),
  );
  const body = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } };
  await client.request('POST', NAMESPACES, { body, schema: z.unknown() });
  stack.defer(() => removeNamespace(client));
  const owned = stack.move();
  return { env, flags: ['--image', given.image], client, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

async function setUpLab(image: string, stack: AsyncDisposableStack): Promise<{ kubeconfig: string; image: string }> {
  const reference = `glovebox-bench:${image}`;
  report('building the image of the nodes …');
  await run(process.execPath, [CLI, 'image', '--kubernetes', '--image', image, '--tag', reference], environment());
  const lab = stack.use(await Lab.start({ program: await ensureProgram(report), images: [reference], report }));
  return { kubeconfig: lab.kubeconfig, image: `docker.io/library/${reference}` };
}

/** Looks at what servers have left, and removes it. */
async function removeNamespace(client: KubernetesClient): Promise<void> {
  const { namespace } = client;
  const schema = z.object({ items: z.array(podSchema) });
  const { items } = await client.request('GET', podPath(namespace), { schema });
  const left = items.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
  for (const { metadata } of left) report(`A Glovebox left the pod ${metadata.name}.`);
  using pods = await Watch.start(client, { path: podPath(namespace), schema: podSchema, log: createLog('error') });
  await client.request('DELETE', `${NAMESPACES}/${namespace}`, { schema: z.unknown() });
  for (const { metadata } of items) {
    await pods.waitFor(metadata.name, (pod) => pod === undefined || undefined, { timeoutMs: GONE_LIMIT_MS });
  }
}
