import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runCommand } from '../../src/lib/run-command.ts';
import { type Layout, NODES } from './layout.ts';

const EC = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '30'];

/** Makes the authority of a cluster and all certificates of its parts, and a kubeconfig for each that calls the API. */
export async function createCertificates(layout: Layout): Promise<void> {
  mkdirSync(join(layout.folder, 'pki'), { mode: 0o700 });
  await openssl('req', '-x509', ...EC, ...files(layout, 'ca'), '-subj', '/CN=glovebox-lab');
  const names = [`IP:${layout.apiAddress}`, 'DNS:kubernetes.default.svc', 'DNS:kubernetes'].join(',');
  await Promise.all([
    sign(layout, 'apiserver', '/CN=kube-apiserver', names),
    sign(layout, 'apiserver-kubelet', '/O=system:masters/CN=kube-apiserver'),
    signCaller(layout, 'admin', '/O=system:masters/CN=admin'),
    signCaller(layout, 'scheduler', '/CN=system:kube-scheduler'),
    signCaller(layout, 'controllers', '/CN=system:kube-controller-manager'),
    ...NODES.flatMap((node) => [
      signCaller(layout, node, `/O=system:nodes/CN=system:node:${node}`),
      sign(layout, `${node}-serving`, `/CN=${node}`, `IP:${layout.nodeAddress(node)},DNS:${node}`),
    ]),
    createTokenKey(layout),
  ]);
}

async function signCaller(layout: Layout, name: string, subject: string): Promise<void> {
  await sign(layout, name, subject);
  writeKubeconfig(layout, name);
}

async function sign(layout: Layout, name: string, subject: string, names?: string): Promise<void> {
  const authority = ['-CA', layout.certificate('ca'), '-CAkey', layout.key('ca')];
  const about = ['-subj', subject, ...(names ? ['-addext', `subjectAltName=${names}`] : [])];
  const extensions = [
    '-addext',
    'basicConstraints=critical,CA:FALSE',
    '-addext',
    'extendedKeyUsage=serverAuth,clientAuth',
  ];
  await openssl('req', '-x509', ...EC, ...authority, ...files(layout, name), ...about, ...extensions);
}

/** The key that tokens of service accounts are signed with. */
async function createTokenKey(layout: Layout): Promise<void> {
  const key = layout.key('tokens');
  await openssl('genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-out', key);
  await openssl('pkey', '-in', key, '-pubout', '-out', layout.certificate('tokens'));
}

function files(layout: Layout, name: string): string[] {
  return ['-keyout', layout.key(name), '-out', layout.certificate(name)];
}

/** Has the certificates in itself, so that it can be copied. */
function writeKubeconfig(layout: Layout, user: string): void {
  const base64 = (path: string) => readFileSync(path).toString('base64');
  const cluster = { server: layout.apiUrl, 'certificate-authority-data': base64(layout.certificate('ca')) };
  const credentials = {
    'client-certificate-data': base64(layout.certificate(user)),
    'client-key-data': base64(layout.key(user)),
  };
  const kubeconfig = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'lab', cluster }],
    users: [{ name: user, user: credentials }],
    contexts: [{ name: 'lab', context: { cluster: 'lab', user, namespace: 'glovebox' } }],
    'current-context': 'lab',
  };
  writeFileSync(layout.kubeconfig(user), JSON.stringify(kubeconfig, null, 2), { mode: 0o600 });
}

async function openssl(...args: string[]): Promise<void> {
  const { code, stderr } = await runCommand('openssl', args);
  if (code !== 0) throw new Error(`"openssl ${args[0]}" failed: ${stderr.trim()}`);
}
