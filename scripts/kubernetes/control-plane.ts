import { join } from 'node:path';
import type { Layout } from './layout.ts';

/** Room of etcd, in bytes: little, so that it can be filled in seconds. */
const ETCD_BYTES = 128 * 2 ** 20;

export type ControlPlanePart = 'etcd' | 'kube-apiserver' | 'kube-controller-manager' | 'kube-scheduler';

/** The flags of a part of the control plane. @param etcdBytes room of etcd */
export function controlPlaneFlags(part: ControlPlanePart, layout: Layout, etcdBytes = ETCD_BYTES): string[] {
  switch (part) {
    case 'etcd':
      return etcdFlags(layout, etcdBytes);
    case 'kube-apiserver':
      return apiServerFlags(layout);
    case 'kube-controller-manager':
      return [
        ...callerFlags(layout, 'controllers', 10257),
        `--service-account-private-key-file=${layout.key('tokens')}`,
        `--root-ca-file=${layout.certificate('ca')}`,
        '--use-service-account-credentials',
        // The default takes 50 s to notice that a node is dead.
        ...['--node-monitor-grace-period=12s', '--node-monitor-period=2s'],
      ];
    case 'kube-scheduler':
      return callerFlags(layout, 'scheduler', 10259);
  }
}

function etcdFlags(layout: Layout, roomBytes: number): string[] {
  const peer = `http://${layout.hostAddress}:2380`;
  return [
    ...['--data-dir', join(layout.folder, 'etcd'), '--log-level', 'warn'],
    ...['--listen-client-urls', layout.etcdUrl, '--advertise-client-urls', layout.etcdUrl],
    ...['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer, '--initial-cluster', `default=${peer}`],
    ...['--quota-backend-bytes', String(roomBytes), '--unsafe-no-fsync'],
  ];
}

function apiServerFlags(layout: Layout): string[] {
  return [
    `--etcd-servers=${layout.etcdUrl}`,
    ...[`--bind-address=${layout.apiAddress}`, '--secure-port=443', `--advertise-address=${layout.hostAddress}`],
    ...[`--tls-cert-file=${layout.certificate('apiserver')}`, `--tls-private-key-file=${layout.key('apiserver')}`],
    `--client-ca-file=${layout.certificate('ca')}`,
    `--kubelet-client-certificate=${layout.certificate('apiserver-kubelet')}`,
    `--kubelet-client-key=${layout.key('apiserver-kubelet')}`,
    `--kubelet-certificate-authority=${layout.certificate('ca')}`,
    '--kubelet-preferred-address-types=InternalIP',
    '--service-account-issuer=https://kubernetes.default.svc',
    `--service-account-key-file=${layout.certificate('tokens')}`,
    `--service-account-signing-key-file=${layout.key('tokens')}`,
    `--service-cluster-ip-range=${layout.serviceRange}`,
    ...['--authorization-mode=Node,RBAC', '--enable-admission-plugins=NodeRestriction'],
    ...['--endpoint-reconciler-type=none', '--event-ttl=10m'],
  ];
}

function callerFlags(layout: Layout, caller: string, port: number): string[] {
  const kubeconfig = layout.kubeconfig(caller);
  return [
    ...[`--kubeconfig=${kubeconfig}`, `--authentication-kubeconfig=${kubeconfig}`],
    ...[`--authorization-kubeconfig=${kubeconfig}`, '--leader-elect=false'],
    ...[`--bind-address=${layout.hostAddress}`, `--secure-port=${port}`],
  ];
}
