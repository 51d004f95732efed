import { z } from 'zod';
import { GloveboxError } from '../../errors.ts';
import type { Finding } from '../../lib/finding.ts';
import { ApiRefusal, refusalOf, statusOf } from './api/answer.ts';
import type { KubernetesClient } from './api/client.ts';
import { podPath } from './api/pod.ts';
import { API_VERSION, DEFINITION, KIND } from './state/names.ts';

/** Oldest version of Kubernetes whose exec streams can be closed in one direction only. */
const OLDEST = { major: 1, minor: 30 };

/** What a control plane does with a kind of object, which has the name of its API group behind a dot. */
type Right = readonly [resource: string, verbs: readonly string[]];

/** All that a control plane does in its namespace. In 1.35, an exec over a WebSocket needs both verbs. */
export const RIGHTS: readonly Right[] = [
  ['pods', ['create', 'delete', 'get', 'list', 'watch']],
  ['pods/exec', ['create', 'get']],
];

const ALL_BUT_PATCH = ['create', 'delete', 'get', 'list', 'update', 'watch'];
/** What one of several does besides: to a pod it writes whose it is, and with which record it goes. */
export const GROUP_RIGHTS: readonly Right[] = [
  ['pods', ['patch']],
  ['leases.coordination.k8s.io', ALL_BUT_PATCH],
  [DEFINITION, ALL_BUT_PATCH],
];

const POLICY = 'pod-security.kubernetes.io/enforce';
/** The strictest of the policies for pods. Sandboxes keep it. */
const STRICT = 'restricted';

const versionSchema = z.object({ major: z.string(), minor: z.string(), gitVersion: z.string() });
const accessSchema = z.object({ status: z.object({ allowed: z.boolean(), reason: z.string().optional() }) });
const whoSchema = z.object({ status: z.object({ userInfo: z.object({ username: z.string() }) }) });
const namespaceSchema = z.object({ metadata: z.object({ labels: z.record(z.string(), z.string()).default({}) }) });
const amounts = z.record(z.string(), z.string()).default({});
const quotasSchema = z.object({
  items: z.array(
    z.object({
      metadata: z.object({ name: z.string() }),
      status: z.object({ hard: amounts, used: amounts }).default({ hard: {}, used: {} }),
    }),
  ),
});
const kindsSchema = z.object({ resources: z.array(z.object({ kind: z.string() })) });
const anything = z.unknown();

export interface Wanted {
  /** RuntimeClass of the pods, if one is named. */
  readonly runtime?: string | undefined;
  /** A pod as all others, to ask whether the cluster would admit it. */
  readonly pod: object;
  /** Whether several control planes are to share its sandboxes. */
  readonly isShared?: boolean;
}

/** A look at the cluster, of which each line is told or, if it failed, refused. */
export async function lookAtCluster(client: KubernetesClient, wanted: Wanted): Promise<readonly Finding[]> {
  const version = await lookAtVersion(client);
  const looks = await Promise.all([
    lookAtRights(client, wanted.isShared ? [...RIGHTS, ...GROUP_RIGHTS] : RIGHTS),
    wanted.isShared ? lookAtRecords(client) : [],
    lookAtNamespace(client),
    lookAtQuotas(client),
    wanted.runtime === undefined ? [] : lookAtRuntime(client, wanted.runtime),
  ]);
  const found = [version, ...looks.flat()];
  // Without the rights or the namespace, the answer would only say so once more.
  return found.some(isFailure) ? found : [...found, ...(await lookAtAdmission(client, wanted.pod))];
}

/** @throws GloveboxError `engine_unavailable` for the first look that failed, with what to do */
export async function assertSuitable(client: KubernetesClient, wanted: Wanted): Promise<void> {
  const failed = (await lookAtCluster(client, wanted)).find(isFailure);
  if (!failed) return;
  const [, what, said, hint] = failed;
  throw new GloveboxError('engine_unavailable', `The cluster cannot take sandboxes: ${what}: ${said}.`, {
    ...(hint ? { hint } : {}),
  });
}

function isFailure([level]: Finding): boolean {
  return level === 'fail';
}

async function lookAtVersion(client: KubernetesClient): Promise<Finding> {
  const { major, minor, gitVersion } = await client.request('GET', '/version', { schema: versionSchema });
  const { source, server } = client.access;
  // Some distributions write "30+".
  const [whole, part] = [Number.parseInt(major, 10), Number.parseInt(minor, 10)];
  const isNew = whole > OLDEST.major || (whole === OLDEST.major && part >= OLDEST.minor);
  if (isNew) return ['ok', 'engine', `Kubernetes ${gitVersion} at ${server.origin}, by ${source}`];
  const oldest = `${OLDEST.major}.${OLDEST.minor}`;
  return [
    'fail',
    'engine',
    `Kubernetes ${gitVersion} at ${server.origin} is older than ${oldest}`,
    `Its exec streams cannot carry the end of an input. Upgrade the cluster to Kubernetes ${oldest} or newer.`,
  ];
}

async function lookAtRights(client: KubernetesClient, rights: readonly Right[]): Promise<Finding[]> {
  const { namespace } = client;
  const asked = rights.flatMap(([resource, verbs]) => verbs.map((verb) => ({ resource, verb })));
  const may = async ({ resource, verb }: (typeof asked)[number]) => {
    const [, name, , group = '', , subresource] = /^([^./]+)(\.([^/]+))?(\/(.+))?$/.exec(resource) ?? [];
    const resourceAttributes = { namespace, verb, group, resource: name, ...(subresource ? { subresource } : {}) };
    const body = {
      ...{ apiVersion: 'authorization.k8s.io/v1', kind: 'SelfSubjectAccessReview' },
      spec: { resourceAttributes },
    };
    const path = '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews';
    return (await client.request('POST', path, { body, schema: accessSchema })).status.allowed;
  };
  try {
    const answers = await Promise.all(asked.map(may));
    const lacking = asked.filter((_, at) => !answers[at]);
    const who = await askWho(client);
    if (lacking.length === 0) return [['ok', 'rights', `${who} has all that are needed in ${namespace}`]];
    const verbs = lacking.map(({ resource, verb }) => `${verb} ${resource}`).join(', ');
    return [
      ['fail', 'rights', `${who} may not ${verbs} in the namespace "${namespace}"`, howToGrant(namespace, who, rights)],
    ];
  } catch (error) {
    if (statusOf(error) !== 403) throw error;
    return [['warn', 'rights', 'the cluster does not tell which there are', 'A sandbox shows whether they suffice.']];
  }
}

function howToGrant(namespace: string, who: string, rights: readonly Right[]): string {
  const verbs = [...new Set(rights.flatMap(([, all]) => all))].join(',');
  const resources = [...new Set(rights.map(([name]) => name))].join(',');
  const subject = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(who);
  const to = subject ? `--serviceaccount=${subject[1]}:${subject[2]}` : `--user=${who}`;
  return [
    'Have its Role grant them, as that of the Helm chart does, or let an administrator run:',
    `kubectl -n ${namespace} create role glovebox --verb=${verbs} --resource=${resources};`,
    `kubectl -n ${namespace} create rolebinding glovebox --role=glovebox ${to}`,
  ].join(' ');
}

/** The name by which the cluster knows this process. */
async function askWho(client: KubernetesClient): Promise<string> {
  const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' };
  try {
    const path = '/apis/authentication.k8s.io/v1/selfsubjectreviews';
    return (await client.request('POST', path, { body, schema: whoSchema })).status.userInfo.username;
  } catch (error) {
    if (refusalOf(error) === undefined) throw error;
    return 'this process';
  }
}

async function lookAtNamespace(client: KubernetesClient): Promise<Finding[]> {
  const { namespace } = client;
  const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}`;
  const labels = await unlessRefused(async () => {
    return (await client.request('GET', path, { schema: namespaceSchema })).metadata.labels;
  });
  if (labels instanceof ApiRefusal) {
    if (labels.statusCode === 404) {
      return [
        [
          'fail',
          'namespace',
          `there is no "${namespace}"`,
          `Create it (kubectl create namespace ${namespace}), or set GLOVEBOX_KUBERNETES_NAMESPACE.`,
        ],
      ];
    }
    const look = `Look yourself: kubectl get namespace ${namespace} --show-labels. Its label ${POLICY} should be ${STRICT}.`;
    return [['warn', 'namespace', `the policy of "${namespace}" cannot be read (get namespaces)`, look]];
  }
  const to = (label: string) => `kubectl label --overwrite namespace ${namespace} ${label}`;
  const policy = labels[POLICY];
  if (policy !== STRICT) {
    const said = policy ? `"${policy}"` : 'no policy';
    const why = 'Pods that others make there could do more than sandboxes may. Glovebox keeps the strictest:';
    return [['warn', 'namespace', `"${namespace}" enforces ${said} for pods`, `${why} ${to(`${POLICY}=${STRICT}`)}`]];
  }
  const version = labels[`${POLICY}-version`] ?? 'latest';
  if (version === 'latest') return [['ok', 'namespace', `"${namespace}" enforces "${STRICT}" for pods`]];
  const said = `"${namespace}" enforces "${STRICT}" for pods as Kubernetes ${version} knew it`;
  return [['warn', 'namespace', said, to(`${POLICY}-version=latest`)]];
}

/** Looks whether the cluster knows the records of sessions. It says so to anybody who is logged in. */
async function lookAtRecords(client: KubernetesClient): Promise<Finding[]> {
  const found = await unlessRefused(() => client.request('GET', `/apis/${API_VERSION}`, { schema: kindsSchema }));
  if (!(found instanceof ApiRefusal) && found.resources.some(({ kind }) => kind === KIND))
    return [['ok', 'records', `the cluster knows ${DEFINITION}`]];
  if (found instanceof ApiRefusal && found.statusCode === 403)
    return [['warn', 'records', `the cluster does not tell whether it knows ${DEFINITION}`, 'The start shows it.']];
  const next = 'Have an administrator define it: kubectl apply --filename charts/glovebox/crds/sessions.yaml.';
  return [['fail', 'records', `the cluster does not know ${DEFINITION}, by which servers share sessions`, next]];
}

/** Quotas are told where they can be read: they may end what sandboxes there can be before a setting does. */
async function lookAtQuotas(client: KubernetesClient): Promise<Finding[]> {
  const path = `/api/v1/namespaces/${encodeURIComponent(client.namespace)}/resourcequotas`;
  const quotas = await unlessRefused(async () => await client.request('GET', path, { schema: quotasSchema }));
  if (quotas instanceof ApiRefusal) return [];
  return quotas.items.map(({ metadata, status: { hard, used } }) => [
    'ok',
    `quota`,
    `${metadata.name}: ${Object.entries(hard)
      .map(([what, most]) => `${used[what] ?? '0'} of ${most} ${what}`)
      .join(', ')}`,
  ]);
}

async function lookAtRuntime(client: KubernetesClient, runtime: string): Promise<Finding[]> {
  const path = `/apis/node.k8s.io/v1/runtimeclasses/${encodeURIComponent(runtime)}`;
  const schema = z.object({ handler: z.string() });
  const found = await unlessRefused(async () => await client.request('GET', path, { schema }));
  if (!(found instanceof ApiRefusal)) return [['ok', 'runtime', `${runtime}, handler "${found.handler}"`]];
  if (found.statusCode === 404) {
    const next = 'Set GLOVEBOX_RUNTIME to one of those that "kubectl get runtimeclass" lists, or leave it out.';
    return [['fail', 'runtime', `the cluster has no RuntimeClass "${runtime}"`, next]];
  }
  return [['warn', 'runtime', `the RuntimeClass "${runtime}" cannot be read`, 'A sandbox shows whether it is there.']];
}

/** Has the server go through all that it would for a sandbox, without making it. */
async function lookAtAdmission(client: KubernetesClient, pod: object): Promise<Finding[]> {
  const query = { dryRun: 'All' };
  try {
    await client.request('POST', podPath(client.namespace), { query, body: pod, schema: anything });
    return [['ok', 'admission', 'the cluster would admit a sandbox']];
  } catch (error) {
    const refusal = refusalOf(error);
    if (!(error instanceof GloveboxError) || !refusal) throw error;
    const next = error.hint ? ([error.hint] as const) : ([] as const);
    // A quota may be used up by sessions that are to go on; a webhook may not take part in trials.
    const mayPass = error.code === 'capacity_exceeded' || /does not support dry run/.test(refusal.message);
    return [[mayPass ? 'warn' : 'fail', 'admission', error.message.replace(/\.$/, ''), ...next]];
  }
}

/** Returns the refusal where the server knows of none such, or does not let it be read. */
async function unlessRefused<T>(ask: () => Promise<T>): Promise<T | ApiRefusal> {
  try {
    return await ask();
  } catch (error) {
    const refusal = refusalOf(error);
    if (refusal && (refusal.statusCode === 403 || refusal.statusCode === 404)) return refusal;
    throw error;
  }
}
