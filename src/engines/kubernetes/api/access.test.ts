import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { hostEnvironment } from '../../../config/host-environment.ts';
import { createLog } from '../../../log.ts';
import { type AccessOptions, openAccess } from './access.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gbx-access-'));
});
afterEach(async () => {
  vi.useRealTimers();
  await rm(folder, { recursive: true });
});

const lines: string[] = [];
const log = createLog('warn', (line) => lines.push(line));

/** Opens the access of a host with these variables, whose home is the folder of the test. */
function open(env: Readonly<Record<string, string>>, more: Partial<AccessOptions> = {}) {
  return openAccess({ hostEnvironment: hostEnvironment({ HOME: folder, ...env }), log, ...more });
}

/** Writes a file of the folder, and returns its path. */
async function write(name: string, content: string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, content, { mode: 0o755 });
  return path;
}

function config({ user = '{}', cluster = 'server: https://c.example:6443', context = '' } = {}): string {
  return `
apiVersion: v1
kind: Config
current-context: main
contexts:
- {name: main, context: {cluster: c, user: u${context}}}
- {name: other, context: {cluster: c, user: u, namespace: elsewhere}}
clusters:
- name: c
  cluster: {${cluster}}
users:
- name: u
  user: ${user}
`;
}

test('reads the current context, or the one that is named', async () => {
  const KUBECONFIG = await write('config', config({ user: '{token: t}' }));
  const access = await open({ KUBECONFIG });
  expect(access).toMatchObject({ source: 'the context "main" of the kubeconfig', namespace: 'default' });
  expect(access.server.href).toBe('https://c.example:6443/');
  expect(await access.credentials()).toEqual({ headers: { authorization: 'Bearer t' } });
  expect((await open({ KUBECONFIG }, { context: 'other' })).namespace).toBe('elsewhere');
  expect((await open({ KUBECONFIG }, { context: 'other', namespace: 'mine' })).namespace).toBe('mine');
});

test('of several files the first that says something counts, and missing ones are empty', async () => {
  const first = await write(
    'first',
    'current-context: other\nclusters: null\nusers: [{name: u, user: {token: first}}]',
  );
  const second = await write('second', config({ user: '{token: second}' }));
  const access = await open({ KUBECONFIG: [join(folder, 'none'), first, second].join(delimiter) });
  expect(access.namespace).toBe('elsewhere');
  expect(await access.credentials()).toEqual({ headers: { authorization: 'Bearer first' } });
});

test('certificates stand in files beside the kubeconfig, or in itself', async () => {
  await write('ca.pem', 'CA');
  await write('key.pem', 'KEY');
  const cert = Buffer.from('CERT').toString('base64');
  const user = `{client-certificate-data: ${cert}, client-certificate: none, client-key: key.pem}`;
  const cluster = 'server: https://c.example, certificate-authority: ca.pem, tls-server-name: n.example';
  const access = await open({ KUBECONFIG: await write('config', config({ user, cluster })) });
  expect(access.trust).toEqual({ ca: 'CA', servername: 'n.example' });
  expect(await access.credentials()).toEqual({ headers: {}, cert: 'CERT', key: 'KEY' });
});

test('who asks may have a password, and may act as someone else', async () => {
  const user = '{username: a, password: b, as: c, as-groups: [d, e]}';
  const access = await open({ KUBECONFIG: await write('config', config({ user })) });
  expect((await access.credentials()).headers).toEqual({
    authorization: `Basic ${Buffer.from('a:b').toString('base64')}`,
    'impersonate-user': 'c',
    'impersonate-group': ['d', 'e'],
  });
});

test('a token in a file is read again as it is replaced', async () => {
  const token = await write('token', 'one\n');
  const access = await open({ KUBECONFIG: await write('config', config({ user: '{tokenFile: token}' })) });
  expect((await access.credentials()).headers).toEqual({ authorization: 'Bearer one' });
  await writeFile(token, 'two');
  expect((await access.credentials()).headers).toEqual({ authorization: 'Bearer one' });
  expect((await access.credentials(true)).headers).toEqual({ authorization: 'Bearer two' });
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 61_000 });
  await writeFile(token, 'three');
  expect((await access.credentials()).headers).toEqual({ authorization: 'Bearer three' });
});

test('the proxy of the kubeconfig counts before that of the host', async () => {
  const cluster = 'server: https://c.example, proxy-url: "http://own.example:3128"';
  const KUBECONFIG = await write('config', config({ cluster }));
  const HTTPS_PROXY = 'http://host.example:3128';
  expect((await open({ KUBECONFIG, HTTPS_PROXY })).proxy?.host).toBe('own.example:3128');
  const plain = await write('plain', config());
  expect((await open({ KUBECONFIG: plain, HTTPS_PROXY })).proxy?.host).toBe('host.example:3128');
  expect((await open({ KUBECONFIG: plain, HTTPS_PROXY, NO_PROXY: 'c.example' })).proxy).toBeUndefined();
});

test('a server that may be anyone is said in the log', async () => {
  const cluster = 'server: https://c.example, insecure-skip-tls-verify: true';
  const { trust } = await open({ KUBECONFIG: await write('config', config({ cluster })) });
  expect(trust).toEqual({ rejectUnauthorized: false });
  expect(lines.at(-1)).toContain('insecure-skip-tls-verify');
});

test('in a pod, it is the service account', async () => {
  await write('ca.crt', 'CA');
  await write('namespace', 'here\n');
  await write('token', 'one');
  const env = { KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '443' };
  const access = await open(env, { serviceAccountDir: folder });
  expect(access).toMatchObject({ source: 'the service account of this pod', namespace: 'here', trust: { ca: 'CA' } });
  expect(access.server.href).toBe('https://[fd00::1]/');
  expect((await access.credentials()).headers).toEqual({ authorization: 'Bearer one' });
  await expect(open(env, { serviceAccountDir: join(folder, 'none') })).rejects.toThrow('This pod has no access');
});

/** Writes a plugin, and opens a context that uses it. */
async function openPlugin(script: string, more = '', cluster?: string) {
  await write('plugin', `#!/bin/sh\n${script}\n`);
  const exec = `apiVersion: client.authentication.k8s.io/v1, command: ./plugin, args: [a], env: [{name: X, value: y}]${more}`;
  const user = `{exec: {${exec}}}`;
  return await open({ KUBECONFIG: await write('config', config({ user, ...(cluster ? { cluster } : {}) })) });
}

/** Script that prints credentials; `status` is JSON as it stands between double quotes of a shell. */
function printing(status: string): string {
  return `cat <<END\n{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":${status}}\nEND`;
}

test('a plugin hands out credentials, which are kept until they expire', async () => {
  const expiry = new Date(Date.now() + 3_600_000).toISOString();
  const script = `echo x >>"${folder}/calls"; ${printing(`{"token":"$1-$X","expirationTimestamp":"${expiry}"}`)}`;
  const access = await openPlugin(script);
  const both = await Promise.all([access.credentials(), access.credentials()]);
  expect(both).toEqual([{ headers: { authorization: 'Bearer a-y' } }, { headers: { authorization: 'Bearer a-y' } }]);
  expect(await readFile(join(folder, 'calls'), 'utf8')).toBe('x\n');
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 3_600_000 });
  await access.credentials();
  expect(await readFile(join(folder, 'calls'), 'utf8')).toBe('x\nx\n');
});

test('a plugin gets the cluster if it wants it, and may hand out a certificate', async () => {
  const cluster = 'server: https://c.example, certificate-authority-data: Q0E=';
  const script = `printf %s "$KUBERNETES_EXEC_INFO" >"${folder}/info"; ${printing('{"clientCertificateData":"C","clientKeyData":"K"}')}`;
  const access = await openPlugin(script, ', provideClusterInfo: true', cluster);
  expect(await access.credentials()).toEqual({ headers: {}, cert: 'C', key: 'K' });
  expect(JSON.parse(await readFile(join(folder, 'info'), 'utf8'))).toEqual({
    apiVersion: 'client.authentication.k8s.io/v1',
    kind: 'ExecCredential',
    spec: { interactive: false, cluster: { server: 'https://c.example', 'certificate-authority-data': 'Q0E=' } },
  });
});

test.each([
  ['echo "log in first" >&2; exit 3', '', 'failed: log in first'],
  ['echo hello', '', 'did not print an ExecCredential'],
  [printing('{}'), '', 'neither a token nor a certificate'],
  ['exit 0', ', interactiveMode: Always', 'wants to ask at a terminal'],
])('a plugin that does %j%s is told', async (script, more, said) => {
  const access = await openPlugin(script, more);
  await expect(access.credentials()).rejects.toThrow(said);
  await expect(access.credentials()).rejects.toMatchObject({ hint: expect.stringContaining('kubectl') });
});

const BROKEN: readonly (readonly [string, string, string])[] = [
  ['contexts: [', 'cannot be read', 'Correct that file'],
  ['contexts: [{name: 1}]', 'contexts.0.name', 'Correct that file'],
  ['{}', 'no current context', 'It has no contexts at all.'],
  [config().replace('current-context: main', ''), 'no current context', 'It has: main, other.'],
  [config().replace('current-context: main', 'current-context: gone'), 'no context "gone"', 'use-context'],
  [config().replace('name: c\n', 'name: d\n'), 'names the cluster "c", which is missing', 'Correct the kubeconfig'],
  [config().replace('- name: u', '- name: v'), 'names the user "u", which is missing', 'Correct the kubeconfig'],
  [config({ cluster: 'server: "c:6443"' }), 'no http:// or https:// address', 'Correct "server"'],
  [config({ cluster: 'server: https://c, proxy-url: "socks5://p"' }), 'not an HTTP proxy', 'http://proxy.example'],
  [config({ cluster: 'server: https://c, certificate-authority: none' }), 'cannot be read', 'readable'],
];

test.each(BROKEN)('a kubeconfig that is broken is told as such: %j', async (content, said, hint) => {
  const opening = open({ KUBECONFIG: await write('config', content) });
  await expect(opening).rejects.toThrow(said);
  await expect(opening).rejects.toMatchObject({ code: 'engine_unavailable', hint: expect.stringContaining(hint) });
});

test('what Kubernetes has removed, and what cannot be sent, is not left out silently', async () => {
  const asking = async (user: string) => {
    const access = await open({ KUBECONFIG: await write('config', config({ user })) });
    return await access.credentials();
  };
  await expect(asking('{auth-provider: {name: gcp}}')).rejects.toThrow('auth-provider "gcp"');
  await expect(asking('{as: x, as-user-extra: {a: [b]}}')).rejects.toThrow('as-user-extra');
});

test('without any cluster, it is said where one is looked for', async () => {
  await expect(open({})).rejects.toMatchObject({ hint: expect.stringContaining('~/.kube/config') });
  await expect(open({ KUBECONFIG: join(folder, 'none') })).rejects.toThrow('does not exist');
});
