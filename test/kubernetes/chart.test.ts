import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, inject, test } from 'vitest';
import { z } from 'zod';
import { loadConfig } from '../../src/config/load.ts';
import { GROUP_RIGHTS, RIGHTS } from '../../src/engines/kubernetes/suitability.ts';
import { keyPath, secretsPath } from '../../src/secrets/file.ts';
import { CHART, type ClusterObject, expectPart, MANIFESTS, runPart, templateChart } from '../support/helm.ts';
import { readDashboard, readRules } from '../support/monitoring.ts';

type Rule = ReturnType<typeof readRules>[number];

const IMAGE = 'sandboxes.image=registry.example/glovebox-sandbox:1';
const BUCKET = ['archives.bucket=archives', 'archives.existingSecret=storage'];
const SHARED = ['settings.state=cluster', ...BUCKET];
const SEVERAL = ['replicas=2', 'state.persistent=false', ...SHARED];

const podSchema = z.object({
  spec: z.object({
    template: z.object({
      spec: z.object({
        containers: z.array(z.object({ volumeMounts: z.array(z.object({ name: z.string(), mountPath: z.string() })) })),
        volumes: z.array(z.object({ name: z.string(), secret: z.looseObject({ secretName: z.string() }).optional() })),
      }),
    }),
  }),
});

/** The one object of a kind. */
function only(objects: readonly ClusterObject[], kind: string, name = /./): ClusterObject {
  const [found, ...others] = objects.filter((object) => object.kind === kind && name.test(object.metadata.name));
  if (!found || others.length > 0) throw new Error(`There are ${others.length + (found ? 1 : 0)} of ${kind}.`);
  return found;
}

function settingsOf(objects: readonly ClusterObject[]): string {
  const { data } = only(objects, 'ConfigMap', /settings/) as ClusterObject & { data: Record<string, string> };
  return data['settings.json'] ?? '';
}

test('the chart is one that Helm finds nothing wrong with', async () => {
  expect(await expectPart('helm', 'lint', CHART, '--strict', '--set', IMAGE)).toContain('0 chart(s) failed');
});

test('the manifests are what the chart makes', async () => {
  const values = join(MANIFESTS, 'values.yaml');
  const made = await expectPart('helm', 'template', 'glovebox', CHART, '--namespace', 'glovebox', '--values', values);
  expect(readFileSync(join(MANIFESTS, 'glovebox.yaml'), 'utf8')).toBe(made);
});

test('the chart makes each object once, and optional ones only where they are asked for', async () => {
  const names = (objects: readonly ClusterObject[]) =>
    objects.map(({ kind, metadata: { name, namespace } }) => [kind, namespace, name].filter(Boolean).join(' '));
  const least = names(await templateChart(IMAGE));
  expect(least.toSorted()).toEqual(
    [
      ...['ConfigMap glovebox glovebox-settings', 'Deployment glovebox glovebox', 'Namespace glovebox-sandboxes'],
      ...['NetworkPolicy glovebox glovebox', 'NetworkPolicy glovebox-sandboxes glovebox'],
      ...['PersistentVolumeClaim glovebox glovebox', 'Role glovebox-sandboxes glovebox'],
      ...['RoleBinding glovebox-sandboxes glovebox', 'Secret glovebox glovebox-keys', 'Service glovebox glovebox'],
      ...['ServiceAccount glovebox glovebox', 'ValidatingAdmissionPolicy glovebox-glovebox-exec'],
      ...[
        'ValidatingAdmissionPolicy glovebox-glovebox-pods',
        'ValidatingAdmissionPolicyBinding glovebox-glovebox-exec',
      ],
      'ValidatingAdmissionPolicyBinding glovebox-glovebox-pods',
    ].toSorted(),
  );
  const options = ['ingress.enabled=true', 'ingress.host=box.example', 'ingress.tlsSecret=box-tls'];
  const more = [
    ...options,
    'podDisruptionBudget.enabled=true',
    'serviceMonitor.enabled=true',
    'prometheusRule.enabled=true',
    'dashboard.enabled=true',
    'sandboxes.quota.pods=10',
  ];
  const most = names(await templateChart(IMAGE, ...more, 'sandboxes.runtimeClassName=gvisor'));
  expect(most.filter((name) => !least.includes(name)).toSorted()).toEqual([
    ...['ClusterRole glovebox-glovebox', 'ClusterRoleBinding glovebox-glovebox'],
    ...['ConfigMap glovebox glovebox-dashboard', 'Ingress glovebox glovebox'],
    ...['PodDisruptionBudget glovebox glovebox', 'PrometheusRule glovebox glovebox'],
    ...['ResourceQuota glovebox-sandboxes glovebox', 'ServiceMonitor glovebox glovebox'],
  ]);
  const fewest = ['sandboxes.createNamespace=false', 'networkPolicy.enabled=false', 'admissionPolicy.enabled=false'];
  const few = await templateChart(IMAGE, ...fewest, 'keys.create=false', 'state.persistent=false');
  expect(new Set(few.map(({ kind }) => kind))).toEqual(
    new Set(['ConfigMap', 'Deployment', 'Role', 'RoleBinding', 'Service', 'ServiceAccount']),
  );
});

test('the server takes the settings that the chart writes', async () => {
  const objects = await templateChart(
    ...[IMAGE, 'sandboxes.runtimeClassName=gvisor', 'sandboxes.nodeSelector.example\\.com/pool=sandboxes'],
    ...['sandboxes.tolerations[0].key=example.com/pool', 'sandboxes.tolerations[0].value=sandboxes'],
    ...['sandboxes.tolerations[0].effect=NoSchedule', 'sandboxes.tolerations[1].key=spot'],
    ...['sandboxes.tolerations[1].effect=NoExecute', 'sandboxes.imagePullSecret=registry', 'settings.memory_mb=2048'],
  );
  expect(loadSettings(objects)).toMatchObject({
    ...{ engine: 'kubernetes', image: 'registry.example/glovebox-sandbox:1', runtime: 'gvisor', memoryMb: 2048 },
    ...{ kubernetesNamespace: 'glovebox-sandboxes', kubernetesPullSecret: 'registry', onShutdown: 'keep' },
    kubernetesNodeSelector: ['example.com/pool=sandboxes'],
    kubernetesTolerations: ['example.com/pool=sandboxes:NoSchedule', 'spot:NoExecute'],
    apiKeysFile: '/etc/glovebox/keys/keys.json',
  });
});

test('several servers are replaced one after the other, and one alone after its end', async () => {
  const objects = await templateChart(IMAGE, ...SEVERAL, 'podDisruptionBudget.enabled=true');
  expect(only(objects, 'Deployment')).toMatchObject({
    spec: { replicas: 2, strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } } },
  });
  expect(only(objects, 'PodDisruptionBudget')).toMatchObject({ spec: { maxUnavailable: 1 } });
  const onNodes = await templateChart(IMAGE, ...SEVERAL, 'hostNetwork=true');
  // Two cannot have the same port of a node.
  expect(only(onNodes, 'Deployment')).toMatchObject({
    spec: { strategy: { rollingUpdate: { maxSurge: 0, maxUnavailable: 1 } } },
  });
  expect(only(onNodes, 'Deployment')).toHaveProperty('spec.template.spec.topologySpreadConstraints.0.maxSkew', 1);
  const alone = await templateChart(IMAGE, 'podDisruptionBudget.enabled=true');
  expect(only(alone, 'Deployment')).toMatchObject({ spec: { replicas: 1, strategy: { type: 'Recreate' } } });
  expect(only(alone, 'PodDisruptionBudget')).toMatchObject({ spec: { minAvailable: 1 } });
});

test('of several servers, each tells the others its own address, and nobody else reaches that port', async () => {
  const objects = await templateChart(IMAGE, ...SHARED);
  expect(loadSettings(objects)).toMatchObject({ state: 'cluster', peerPort: 8770, instance: 'glovebox' });
  const text = JSON.stringify(only(objects, 'Deployment'));
  expect(text).toContain('{"name":"GLOVEBOX_PEER_ADDRESS","valueFrom":{"fieldRef":{"fieldPath":"status.podIP"}}}');
  expect(text).toContain('{"name":"peers","containerPort":8770}');
  const policy = objects.find(({ kind, metadata }) => kind === 'NetworkPolicy' && metadata.namespace === 'glovebox');
  const selector = { 'app.kubernetes.io/name': 'glovebox', 'app.kubernetes.io/instance': 'glovebox' };
  expect(policy).toMatchObject({
    spec: {
      ingress: [
        { ports: [{ port: 'http' }] },
        { ports: [{ port: 'peers' }], from: [{ podSelector: { matchLabels: selector } }] },
      ],
    },
  });
  expect(JSON.stringify(await templateChart(IMAGE))).not.toMatch(/peers|PEER/);
});

const JWT = ['auth.kind=jwt', 'auth.jwt.issuer=https://login.example/main'];

/** The configuration of a server with the settings that the chart writes. */
function loadSettings(objects: readonly ClusterObject[]): ReturnType<typeof loadConfig> {
  const file = join(mkdtempSync(join(inject('stateRoot'), 'chart-')), 'settings.json');
  writeFileSync(file, settingsOf(objects));
  return loadConfig({ GLOVEBOX_CONFIG: file });
}

/** Secrets of the pod, by the folders in which they are. */
function mountsOf(objects: readonly ClusterObject[]): Record<string, unknown> {
  const { spec } = podSchema.parse(only(objects, 'Deployment')).spec.template;
  const mounts = spec.containers[0]?.volumeMounts ?? [];
  return Object.fromEntries(
    mounts.map(({ name, mountPath }) => [mountPath, spec.volumes.find((volume) => volume.name === name)?.secret]),
  );
}

test('callers log in at an identity provider, with keys beside it or without any', async () => {
  const ingress = ['ingress.enabled=true', 'ingress.host=box.example', 'ingress.tlsSecret=tls'];
  const alone = await templateChart(IMAGE, ...JWT, ...ingress, 'auth.jwt.audience=api', 'auth.jwt.ownerClaim=email');
  expect(alone.filter(({ kind }) => kind === 'Secret')).toEqual([]);
  expect(loadSettings(alone)).toMatchObject({
    ...{ auth: 'jwt', jwtIssuer: 'https://login.example/main', publicUrl: 'https://box.example' },
    ...{ jwtAudience: 'api', jwtOwnerClaim: 'email' },
  });
  const url = 'auth.jwt.publicUrl=https://own.example';
  const beside = await templateChart(IMAGE, ...JWT, 'auth.kind=keys\\,jwt', url);
  only(beside, 'Secret');
  const shared = { auth: 'keys,jwt', publicUrl: 'https://own.example', jwtOwnerClaim: 'sub' };
  expect(loadSettings(beside)).toMatchObject({ ...shared, apiKeysFile: '/etc/glovebox/keys/keys.json' });
  expect(JSON.parse(settingsOf(beside))).not.toHaveProperty('jwt_audience');
});

test('the audit log is on the volume of the state, or on one of its own, with its key from a secret', async () => {
  const textOf = (objects: readonly ClusterObject[]) => JSON.stringify(only(objects, 'Deployment'));
  const plain = await templateChart(IMAGE, 'auditLog.enabled=true');
  expect(loadSettings(plain)).toMatchObject({
    ...{ auditLog: '/var/lib/glovebox/audit/audit.jsonl', auditLogMb: 100, auditLogFiles: 10, auditLogRequired: 'no' },
  });
  expect(textOf(plain)).not.toContain('audit-');
  const own = await templateChart(
    ...[
      IMAGE,
      'auditLog.enabled=true',
      'auditLog.existingClaim=logs',
      'auditLog.keySecret=audit',
      'state.persistent=false',
    ],
    ...['auditLog.fileMb=5', 'auditLog.files=400', 'auditLog.required=true'],
  );
  expect(loadSettings(own)).toMatchObject({
    ...{ auditLog: '/var/log/glovebox/audit.jsonl', auditLogMb: 5, auditLogFiles: 400, auditLogRequired: 'yes' },
    auditLogKeyFile: '/etc/glovebox/audit/audit.key',
  });
  expect(textOf(own)).toContain('{"name":"audit-log","persistentVolumeClaim":{"claimName":"logs"}}');
  expect(textOf(own)).toContain('"secretName":"audit"');
});

test('each of several servers has an audit log of its own, whose lines a second container prints', async () => {
  const sizes = ['auditLog.fileMb=5', 'auditLog.files=3'];
  const objects = await templateChart(IMAGE, ...SEVERAL, 'auditLog.enabled=true', 'auditLog.toStdout=true', ...sizes);
  expect(loadSettings(objects)).toMatchObject({ auditLog: '/var/log/glovebox/audit.jsonl' });
  const mount = { name: 'audit-log', mountPath: '/var/log/glovebox' };
  expect(only(objects, 'Deployment')).toMatchObject({
    spec: {
      template: {
        spec: {
          // The form of a container that ends after those that it serves.
          initContainers: [
            { name: 'audit-log', restartPolicy: 'Always', volumeMounts: [{ ...mount, readOnly: true }] },
          ],
          containers: [{ volumeMounts: expect.arrayContaining([mount]) }],
          volumes: expect.arrayContaining([{ name: 'audit-log', emptyDir: { sizeLimit: '25Mi' } }]),
        },
      },
    },
  });
});

test('archives are in the bucket that is named, with credentials, authorities and keys from secrets', async () => {
  const more = [
    'prefix=box/one',
    'endpoint=https://storage.example:9000',
    'region=eu-1',
    'caSecret=ca',
    'keySecret=key',
  ];
  const objects = await templateChart(IMAGE, ...BUCKET, ...more.map((value) => `archives.${value}`));
  expect(loadSettings(objects)).toMatchObject({
    ...{ archives: 's3://archives/box/one', archiveEndpoint: 'https://storage.example:9000', archiveRegion: 'eu-1' },
    archiveCredentialsFile: '/etc/glovebox/archives/credentials',
    archiveKeyFile: '/etc/glovebox/archive-key/archives.key',
  });
  expect(mountsOf(objects)).toMatchObject({
    '/etc/glovebox/archives': { secretName: 'storage' },
    '/etc/glovebox/archive-key': { secretName: 'key' },
    '/etc/glovebox/authorities': { secretName: 'ca' },
  });
  const text = JSON.stringify(only(objects, 'Deployment'));
  expect(text).toContain('{"name":"SSL_CERT_FILE","value":"/etc/glovebox/authorities/ca.crt"}');
  const least = await templateChart(IMAGE, ...BUCKET);
  expect(loadSettings(least)).toMatchObject({ archives: 's3://archives' });
  expect(JSON.parse(settingsOf(least))).not.toHaveProperty('archive_endpoint');
});

test('secrets and their key are files of one secret, or of two', async () => {
  const one = await templateChart(IMAGE, 'secrets.existingSecret=ours');
  const folder = '/etc/glovebox/secrets-file';
  const [json, key] = ['secrets.json', 'secrets.key'].map((name) => ({ key: name, path: name }));
  const settings = loadSettings(one);
  expect([secretsPath(settings), keyPath(settings)]).toEqual([`${folder}/secrets.json`, `${folder}/secrets.key`]);
  expect(mountsOf(one)[folder]).toMatchObject({ secretName: 'ours', items: [json, key] });
  const two = await templateChart(IMAGE, 'secrets.existingSecret=ours', 'secretsKeySecret=key');
  expect(keyPath(loadSettings(two))).toBe('/etc/glovebox/secrets/secrets.key');
  expect(mountsOf(two)).toMatchObject({
    ...{ [folder]: { secretName: 'ours', items: [json] }, '/etc/glovebox/secrets': { secretName: 'key' } },
  });
  expect(loadSettings(await templateChart(IMAGE)).secretsFile).toBeUndefined();
});

test('archives on the volume of the state are encrypted, too', async () => {
  const objects = await templateChart(IMAGE, 'archives.keySecret=key');
  expect(loadSettings(objects)).toMatchObject({
    ...{ archives: 'directory', archiveKeyFile: '/etc/glovebox/archive-key/archives.key' },
  });
  expect(mountsOf(objects)).toMatchObject({ '/etc/glovebox/archive-key': { secretName: 'key' } });
});

test('several servers go without a bucket where that is said', async () => {
  const said = ['replicas=2', 'settings.state=cluster', 'settings.archives=directory', 'state.persistent=false'];
  expect(loadSettings(await templateChart(IMAGE, ...said))).toMatchObject({ archives: 'directory' });
});

test('alert rules and the dashboard are those of the files, with the address of runbooks', async () => {
  const base = 'prometheusRule.runbookBase=https://git.example/main/';
  const objects = await templateChart(IMAGE, 'prometheusRule.enabled=true', 'dashboard.enabled=true', base);
  const { spec } = only(objects, 'PrometheusRule') as ClusterObject & { spec: { groups: { rules: Rule[] }[] } };
  const rules = spec.groups.flatMap((group) => group.rules);
  const expected = readRules().map(({ alert, annotations: { runbook_url, ...others }, ...rule }) => ({
    ...{ alert, annotations: { ...others, runbook_url: `https://git.example/main/${runbook_url}` } },
    ...rule,
  }));
  expect(rules).toEqual(expected);
  const dashboard = only(objects, 'ConfigMap', /dashboard/) as ClusterObject & { data: Record<string, string> };
  expect(JSON.parse(dashboard.data['glovebox.json'] ?? '')).toEqual(readDashboard());
  expect(dashboard.metadata).toMatchObject({ labels: { grafana_dashboard: '1' } });
});

test('Prometheus logs in where there are no keys', async () => {
  const login = ['serviceMonitor.oauth2.tokenUrl=https://login.example/token', 'auth.jwt.publicUrl=https://b.example'];
  const monitor = only(await templateChart(IMAGE, ...JWT, ...login, 'serviceMonitor.enabled=true'), 'ServiceMonitor');
  expect(JSON.stringify(monitor)).toContain('"oauth2":{"tokenUrl":"https://login.example/token"}');
  expect(JSON.stringify(monitor)).not.toContain('authorization');
});

test('the control plane has the rights that it asks for, and those to tell of its namespace', async () => {
  const rulesOf = async (...values: string[]) =>
    (only(await templateChart(IMAGE, ...values), 'Role') as ClusterObject & { rules: object[] }).rules;
  const toRules = (rights: typeof RIGHTS) =>
    rights.map(([resource, verbs]) => {
      const [name, ...group] = resource.split('.');
      return { apiGroups: [group.join('.')], resources: [name], verbs };
    });
  const telling = [
    { apiGroups: [''], resources: ['namespaces'], resourceNames: ['glovebox-sandboxes'], verbs: ['get'] },
    { apiGroups: [''], resources: ['resourcequotas'], verbs: ['list'] },
    { apiGroups: ['networking.k8s.io'], resources: ['networkpolicies'], verbs: ['list', 'watch'] },
  ];
  expect(await rulesOf()).toEqual([...toRules(RIGHTS), ...telling]);
  expect(await rulesOf(...SHARED)).toEqual([...toRules([...RIGHTS, ...GROUP_RIGHTS]), ...telling]);
});

test.each([
  ['no image of the sandboxes', [], /sandboxes\/image/],
  ['an image that no node can pull', ['sandboxes.image=data'], /sandboxes\/image/],
  ['a value that does not exist', [IMAGE, 'sandboxes.imagee=x'], /imagee/],
  ['an ingress without a host', [IMAGE, 'ingress.enabled=true'], /ingress\/host/],
  ['a setting that the chart decides', [IMAGE, 'settings.kubernetes_namespace=x'], /settings\.kubernetes_namespace/],
  ['an identity provider without its URL', [IMAGE, 'auth.kind=jwt'], /auth\/jwt\/issuer/],
  ['tokens for a server without a URL', [IMAGE, ...JWT], /auth\.jwt\.publicUrl/],
  ['several servers that do not share their sessions', [IMAGE, 'replicas=2'], /replicas: .*settings\.state=cluster/],
  ['several servers with one state', [IMAGE, 'replicas=2', ...SHARED], /state\.persistent=false/],
  [
    'several servers without a bucket',
    [IMAGE, ...SEVERAL, 'archives.bucket=', 'archives.existingSecret='],
    /archives\.bucket.*settings\.archives=directory/,
  ],
  ['several servers with keys of their own', [IMAGE, ...SEVERAL, 'keys.create=false'], /replicas: .*keys\.create=true/],
  ['a bucket without credentials', [IMAGE, 'archives.bucket=archives'], /archives\/existingSecret/],
  ['credentials without a bucket', [IMAGE, 'archives.existingSecret=storage'], /archives\/bucket/],
  ['a server of buckets without a bucket', [IMAGE, 'archives.endpoint=https://s.example'], /archives\/bucket/],
  ['a bucket by its URL', [IMAGE, 'archives.bucket=s3://archives', 'archives.existingSecret=x'], /archives\/bucket/],
  ['a bucket in a setting', [IMAGE, 'settings.archives=s3://archives'], /settings\.archives: .*archives\.bucket/],
  ['an audit log that is lost', [IMAGE, 'auditLog.enabled=true', 'state.persistent=false'], /auditLog\.existingClaim/],
  [
    'one audit log of several servers',
    [IMAGE, ...SEVERAL, 'auditLog.enabled=true'],
    /replicas: .*auditLog\.toStdout=true/,
  ],
  [
    'an audit log in two places',
    [IMAGE, 'auditLog.enabled=true', 'auditLog.toStdout=true', 'auditLog.existingClaim=logs'],
    /auditLog\.toStdout/,
  ],
  ['a setting that has a value', [IMAGE, 'settings.audit_log=/x'], /settings\.audit_log/],
  ['a file of secrets by its path', [IMAGE, 'settings.secrets_file=/x'], /settings\.secrets_file/],
  [
    'metrics with a key that is not made',
    [IMAGE, ...JWT, 'auth.jwt.publicUrl=https://b.example', 'serviceMonitor.enabled=true'],
    /keySecret/,
  ],
  ['metrics with a key of nobody', [IMAGE, 'serviceMonitor.enabled=true', 'keys.existingSecret=x'], /keySecret/],
])('the chart refuses %s, by its name', async (_, values, reason) => {
  const set = values.flatMap((value) => ['--set', value]);
  const { code, stderr } = await runPart('helm', 'template', 'glovebox', CHART, ...set);
  expect(code).not.toBe(0);
  expect(stderr).toMatch(reason);
});
