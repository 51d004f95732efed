import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stringify as toToml } from 'smol-toml';
import { seccompProfile } from '../../src/engines/hardening/seccomp.ts';
import type { Layout, NodeName } from './layout.ts';

/** The image of a pod's first container. */
export const PAUSE_IMAGE = 'glovebox.local/pause:1';
const PLUGINS = fileURLToPath(new URL('node', import.meta.url));

export interface NodeFiles {
  readonly containerdConfig: string;
  readonly kubeletConfig: string;
  /** Folder of all that the kubelet keeps. */
  readonly kubeletFolder: string;
}

/**
 * Writes the configuration of a node's containerd and kubelet.
 * @param change what that of the kubelet is to have instead of the usual
 */
export function writeNodeFiles(
  layout: Layout,
  node: NodeName,
  change: Readonly<Record<string, unknown>> = {},
): NodeFiles {
  const folder = layout.nodeFolder(node);
  const kubeletFolder = join(folder, 'kubelet');
  const files = {
    containerdConfig: join(folder, 'containerd.toml'),
    kubeletConfig: join(folder, 'kubelet.json'),
    kubeletFolder,
  };
  const network = { cniVersion: '1.0.0', name: 'nothing', plugins: [{ type: 'nothing' }] };
  mkdirSync(join(folder, 'cni'), { recursive: true });
  mkdirSync(join(kubeletFolder, 'seccomp'), { recursive: true });
  writeFileSync(join(folder, 'cni', '10-nothing.conflist'), JSON.stringify(network));
  writeFileSync(files.containerdConfig, toToml(containerdConfig(layout, node)));
  writeFileSync(files.kubeletConfig, JSON.stringify({ ...kubeletConfig(layout, node), ...change }, null, 2));
  writeFileSync(join(kubeletFolder, 'seccomp', 'glovebox.json'), JSON.stringify(seccompProfile()));
  return files;
}

function containerdConfig(layout: Layout, node: NodeName): Record<string, unknown> {
  const folder = layout.nodeFolder(node);
  const socket = layout.socket(node);
  const snapshotters = ['aufs', 'btrfs', 'devmapper', 'zfs'].map((name) => `io.containerd.snapshotter.v1.${name}`);
  const runc = { runtime_type: 'io.containerd.runc.v2', options: { SystemdCgroup: false } };
  const cri = {
    sandbox_image: PAUSE_IMAGE,
    stream_server_address: '127.0.0.1',
    stream_server_port: '0',
    disable_apparmor: true,
    // Root of a virtual machine may lack the right to lower it.
    restrict_oom_score_adj: true,
    netns_mounts_under_state_dir: true,
    cni: { bin_dir: PLUGINS, conf_dir: join(folder, 'cni') },
    containerd: { default_runtime_name: 'runc', runtimes: { runc } },
  };
  return {
    version: 2,
    root: join(folder, 'containerd'),
    state: join(folder, 'containerd-state'),
    disabled_plugins: [...snapshotters, 'io.containerd.internal.v1.opt', 'io.containerd.tracing.processor.v1.otlp'],
    grpc: { address: socket },
    ttrpc: { address: `${socket}.ttrpc` },
    plugins: { 'io.containerd.grpc.v1.cri': cri },
  };
}

function kubeletConfig(layout: Layout, node: NodeName): Record<string, unknown> {
  const folder = layout.nodeFolder(node);
  return {
    kind: 'KubeletConfiguration',
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    authentication: {
      anonymous: { enabled: false },
      webhook: { enabled: true },
      x509: { clientCAFile: layout.certificate('ca') },
    },
    authorization: { mode: 'Webhook' },
    tlsCertFile: layout.certificate(`${node}-serving`),
    tlsPrivateKeyFile: layout.key(`${node}-serving`),
    containerRuntimeEndpoint: `unix://${layout.socket(node)}`,
    cgroupDriver: 'cgroupfs',
    cgroupRoot: `/${layout.nodeId(node)}`,
    failCgroupV1: false,
    failSwapOn: false,
    readOnlyPort: 0,
    healthzPort: 0,
    maxPods: 250,
    podPidsLimit: 256,
    seccompDefault: true,
    resolvConf: '',
    hairpinMode: 'none',
    podLogsDir: join(folder, 'pod-logs'),
    volumePluginDir: join(folder, 'volume-plugins'),
    imageGCHighThresholdPercent: 100,
    evictionHard: { 'memory.available': '100Mi', 'nodefs.available': '1%', 'imagefs.available': '1%' },
    enforceNodeAllocatable: ['pods'],
    containerLogMaxSize: '1Mi',
    containerLogMaxFiles: 2,
    registryPullQPS: 0,
    eventRecordQPS: 50,
    nodeStatusUpdateFrequency: '2s',
    nodeLeaseDurationSeconds: 10,
  };
}
