import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import { loadConfig } from '../../src/config/load.ts';
import { type ClusterAccess, openAccess } from '../../src/engines/kubernetes/api/access.ts';
import { KubernetesClient } from '../../src/engines/kubernetes/api/client.ts';
import { createLog } from '../../src/log.ts';

const anything = { schema: z.unknown() };
const ENFORCE = 'pod-security.kubernetes.io/enforce';

/** A namespace of a test's own, in the cluster that `KUBECONFIG` names. Disposing of it removes it, with what is in it. */
export class OwnNamespace implements AsyncDisposable {
  readonly name: string;
  readonly access: ClusterAccess;
  readonly admin: KubernetesClient;

  private constructor(access: ClusterAccess) {
    this.name = access.namespace;
    this.access = access;
    this.admin = new KubernetesClient(access);
  }

  /** @param policy that of Pod Security, if pods there are to keep one */
  static async create(prefix: string, policy?: string): Promise<OwnNamespace> {
    const { hostEnvironment } = loadConfig();
    const name = `${prefix}-${randomBytes(4).toString('hex')}`;
    const own = new OwnNamespace(await openAccess({ hostEnvironment, namespace: name, log: createLog('error') }));
    const labels = policy === undefined ? {} : { [ENFORCE]: policy };
    await own.make('/api/v1/namespaces', { metadata: { name, labels } });
    return own;
  }

  /** Makes an object. */
  async make(path: string, body: object): Promise<void> {
    await this.admin.request('POST', path, { ...anything, body });
  }

  /** Removes an object. */
  async remove(path: string): Promise<void> {
    await this.admin.request('DELETE', path, anything);
  }

  async label(labels: Record<string, string | null>): Promise<void> {
    const options = { ...anything, body: { metadata: { labels } }, contentType: 'application/merge-patch+json' };
    await this.admin.request('PATCH', `/api/v1/namespaces/${this.name}`, options);
  }

  async countPods(): Promise<number> {
    const schema = z.object({ items: z.array(z.unknown()) });
    return (await this.admin.request('GET', `/api/v1/namespaces/${this.name}/pods`, { schema })).items.length;
  }

  /** Makes a service account that has these rights there, and no others. Returns its token. */
  async account(rights: readonly (readonly [resource: string, verbs: readonly string[]])[]): Promise<string> {
    const name = `account-${randomBytes(4).toString('hex')}`;
    const within = `/api/v1/namespaces/${this.name}`;
    const roles = `/apis/rbac.authorization.k8s.io/v1/namespaces/${this.name}`;
    await this.make(`${within}/serviceaccounts`, { metadata: { name } });
    const rules = rights.map(([resource, verbs]) => {
      const [name = '', ...group] = resource.split('.');
      return { apiGroups: [group.join('.')], resources: [name], verbs };
    });
    await this.make(`${roles}/roles`, { metadata: { name }, rules });
    await this.make(`${roles}/rolebindings`, {
      metadata: { name },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name },
      subjects: [{ kind: 'ServiceAccount', name, namespace: this.name }],
    });
    const schema = z.object({ status: z.object({ token: z.string() }) });
    const path = `${within}/serviceaccounts/${name}/token`;
    return (await this.admin.request('POST', path, { schema, body: {} })).status.token;
  }

  /** The kubeconfig of an account with that token. */
  kubeconfigOf(token: string): string {
    const { server, trust } = this.access;
    const authority = Buffer.from(trust.ca ?? '').toString('base64');
    return JSON.stringify({
      ...{ apiVersion: 'v1', kind: 'Config', 'current-context': 'account' },
      clusters: [{ name: 'c', cluster: { server: server.href, 'certificate-authority-data': authority } }],
      users: [{ name: 'u', user: { token } }],
      contexts: [{ name: 'account', context: { cluster: 'c', user: 'u', namespace: this.name } }],
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.remove(`/api/v1/namespaces/${this.name}`);
    this.admin[Symbol.dispose]();
  }
}
