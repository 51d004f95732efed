import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { EngineEntry } from '../catalog.ts';

/** Packages of a machine's root besides its engines: a kernel, and what starts them. */
export const GUEST_PACKAGES = [
  ...['linux-image-cloud-amd64', 'systemd', 'systemd-sysv', 'udev', 'dbus', 'dbus-user-session', 'libpam-systemd'],
  'socat',
];

/** The port of the machine at which its engine is reached. */
const PORT = 2375;
const SOCKET = '/run/engine.sock';
/** That of a rootless engine: the first user of a new system has the number 1000. */
const USER_SOCKET = '/run/user/1000/engine.sock';

/** Starts what no device manager does here, which would take a good part of the time that the machine needs to start. */
const PREPARE = [
  'modprobe -a virtio_blk virtio_net overlay tun nf_tables ip_tables',
  'mount /dev/vda /engine',
  'chown eng:eng /engine',
  'ip address add 10.0.2.15/24 dev eth0',
  'ip link set eth0 up',
  'mount -t virtiofs -o ro shared "$SHARED"',
  'chmod 666 /dev/net/tun /dev/fuse',
];

/**
 * Writes the files by which a machine starts an engine into the folder over its root. Control groups are systemd's, as on
 * every host of today: the service of a rootless engine is one of its user, to whom systemd hands the memory, processes and
 * processors of its part.
 * @param shared folder of files that the machine sees under the same path
 */
export function writeGuest(upper: string, entry: EngineEntry, shared: string): void {
  for (const [path, text] of Object.entries(guestFiles(entry, shared))) {
    const file = join(upper, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
  }
  for (const path of ['engine', shared]) mkdirSync(join(upper, path), { recursive: true });
}

/** The files of a machine by their paths. */
export function guestFiles(entry: EngineEntry, shared: string): Readonly<Record<string, string>> {
  const { rootless = false, kind, host = [] } = entry;
  const socket = rootless ? USER_SOCKET : SOCKET;
  const units = rootless ? 'etc/systemd/user' : 'etc/systemd/system';
  const system = ['dbus.service', 'systemd-logind.service', 'forward.service', ...(rootless ? [] : ['engine.service'])];
  return {
    ...{ 'etc/hostname': 'machine\n', 'etc/hosts': '127.0.0.1 localhost machine\n', 'etc/fstab': '' },
    ...{ 'etc/machine-id': `${'0123456789abcdef'.repeat(2)}\n`, 'etc/resolv.conf': 'nameserver 127.0.0.1\n' },
    // Nothing is to be brought up to date at the first start.
    ...{ 'etc/.updated': '', 'var/.updated': '' },
    // A machine that gets little of its host's processors is slow, and no failure. The whole start has a limit outside.
    'etc/systemd/system.conf.d/patience.conf': unit({ Manager: ['DefaultTimeoutStartSec=infinity'] }),
    'etc/systemd/user.conf.d/patience.conf': unit({ Manager: ['DefaultTimeoutStartSec=infinity'] }),
    'etc/systemd/system/user@.service.d/patience.conf': unit({ Service: ['TimeoutStartSec=infinity'] }),
    'etc/systemd/system/glovebox.target': unit({
      Unit: [
        'Requires=basic.target',
        'After=basic.target',
        'AllowIsolate=yes',
        ...system.map((name) => `Wants=${name}`),
      ],
    }),
    'etc/systemd/system/prepare.service': unit({
      Unit: ['DefaultDependencies=no', 'After=local-fs.target', 'Before=basic.target'],
      Service: [
        'Type=oneshot',
        'RemainAfterExit=yes',
        `Environment=SHARED=${shared}`,
        `ExecStart=/bin/sh -ec '${[...PREPARE, ...host].join('; ')}'`,
      ],
    }),
    'etc/systemd/system/basic.target.d/prepare.conf': unit({
      Unit: ['Requires=prepare.service', 'After=prepare.service'],
    }),
    'etc/systemd/system/forward.service': unit({
      Service: [`ExecStart=/usr/bin/socat -t 86400 TCP-LISTEN:${PORT},fork,reuseaddr,nodelay UNIX-CONNECT:${socket}`],
    }),
    [`${units}/engine.service`]: unit({
      Unit: [
        'StartLimitIntervalSec=0',
        ...(!rootless && kind === 'docker' ? ['Wants=containerd.service', 'After=containerd.service'] : []),
      ],
      // What an engine waits for in seconds may take it longer here the first time, when all of it is read from disk.
      Service: ['Delegate=yes', 'Restart=on-failure', 'RestartSec=1', `ExecStart=${engineCommand(entry, socket)}`],
    }),
    ...(rootless
      ? {
          'var/lib/systemd/linger/eng': '',
          'etc/systemd/user/default.target.d/engine.conf': unit({ Unit: ['Wants=engine.service'] }),
        }
      : {}),
    ...(kind === 'podman' ? podmanFiles(rootless) : { 'etc/docker/daemon.json': JSON.stringify(entry.daemon ?? {}) }),
  };
}

function engineCommand({ kind, rootless = false }: EngineEntry, socket: string): string {
  if (kind === 'podman') {
    return `/usr/bin/env CONTAINERS_STORAGE_CONF=/etc/containers/machine-storage.conf podman system service --time=0 unix://${socket}`;
  }
  return [
    ...(rootless ? ['/usr/share/docker.io/contrib/dockerd-rootless.sh'] : ['/usr/sbin/dockerd']),
    ...(rootless ? [] : ['--containerd=/run/containerd/containerd.sock']),
    ...[`--host=unix://${socket}`, '--config-file=/etc/docker/daemon.json', '--data-root=/engine/docker'],
    ...['--bridge=none', '--iptables=false', '--ip6tables=false'],
  ].join(' ');
}

function podmanFiles(rootless: boolean): Readonly<Record<string, string>> {
  const run = rootless ? '/run/user/1000/storage' : '/run/containers/storage';
  return {
    'etc/containers/machine-storage.conf': unit({
      storage: [
        ...['driver = "overlay"', 'graphroot = "/engine/podman"', 'rootless_storage_path = "/engine/podman"'],
        `runroot = "${run}"`,
      ],
    }),
    // Its watchers of execs would stay for five minutes.
    'etc/containers/containers.conf': unit({ engine: ['events_logger = "file"', 'exit_command_delay = 10'] }),
  };
}

/** Text of a file with sections. */
function unit(sections: Readonly<Record<string, readonly string[]>>): string {
  return Object.entries(sections)
    .flatMap(([name, lines]) => [`[${name}]`, ...lines, ''])
    .join('\n');
}
