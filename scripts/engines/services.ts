import { linkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type Docker from 'dockerode';
import { createDockerClient, pingEngine } from '../../src/engines/docker/connect/connect.ts';
import { aborted } from '../../src/lib/deadline.ts';
import type { EngineEntry } from './catalog.ts';
import { describeProgram, ensureGoProgram } from './go-program.ts';
import { enterNamespace, type Namespace } from './namespace.ts';
import { connectNetwork } from './network.ts';
import { ensureRoot, readVersions } from './roots.ts';

const PING_MS = 2000;
const START_LIMIT_MS = 60_000;
/** Most characters of what a service said that did not start. */
const LOG_LIMIT = 2000;
const LOOK_EVERY_MS = 200;

/** Makes the user of a rootless engine, who may reach the folders that it needs. */
const USER = `
useradd --create-home --shell /bin/sh eng
mkdir /run/eng
chown eng:eng /run/eng /engine "$folder/socket"
path=$folder
while [ "$path" != / ]; do chmod o+x "$path"; path=$(dirname "$path"); done
`;

/**
 * Has that user own the files of this one in the folder that both see, as if it ran Glovebox itself: Podman reads the
 * filter of sandboxes there.
 */
const SHARED = `mount --bind -o "X-mount.idmap=b:0:$(id -u eng):1" ${tmpdir()} ${tmpdir()}`;

const AS_USER = [
  ...['runuser', '-u', 'eng', '--', 'env', 'HOME=/home/eng', 'XDG_RUNTIME_DIR=/run/eng'],
  'PATH=/usr/sbin:/usr/bin:/sbin:/bin',
];

/** An engine of this run alone. Disposing of it removes everything of it. */
export interface RunningEngine extends AsyncDisposable {
  readonly docker: Docker;
  readonly address: string;
  /** Folder of its files on this machine. */
  readonly folder: string;
  /** Settings with which tests on it run. */
  readonly env: Readonly<Record<string, string>>;
  /** Packages with their versions, with commas between. */
  readonly versions: string;
}

export interface StartOptions {
  /** Whether builds of images are to reach what this machine reaches. */
  readonly hasNetwork: boolean;
  readonly report: (line: string) => void;
  readonly signal: AbortSignal;
}

/** Sets an engine up and starts it. @throws Error when it does not answer */
export async function startEngine(
  entry: EngineEntry,
  { hasNetwork, report, signal }: StartOptions,
): Promise<RunningEngine> {
  const root = await ensureRoot(entry.suite, report, signal);
  const program = entry.program && (await ensureGoProgram(entry.program, report, signal));
  await using stack = new AsyncDisposableStack();
  const command = (folder: string) =>
    entry.kind === 'podman'
      ? podmanCommand(folder, entry.rootless)
      : dockerCommand(folder, entry, { program, hasNetwork });
  const namespace = stack.use(
    enterNamespace({
      name: entry.name,
      root,
      command,
      prepare: [...(entry.rootless ? [USER, SHARED] : []), ...(entry.prepare ?? [])],
    }),
  );
  const address = `unix://${socketOf(namespace.folder)}`;
  const docker = createDockerClient({ address, source: 'this run' });
  await awaitEngine(docker, namespace, { title: entry.title, limitMs: START_LIMIT_MS, signal });
  if (hasNetwork) stack.use(await connectNetwork(root, namespace.pid));
  const packages = await readVersions(root, entry.packages);
  const versions = [...(entry.program ? [describeProgram(entry.program)] : []), packages].join(', ');
  const owned = stack.move();
  const { folder } = namespace;
  return { docker, address, folder, env: {}, versions, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

export interface AwaitOptions {
  readonly title: string;
  /** Longest wait in milliseconds. */
  readonly limitMs: number;
  /** Whether nothing is to be expected any more. */
  readonly isHopeless?: () => boolean;
  readonly signal: AbortSignal;
}

/** Waits for an engine to answer. @throws Error with the last of what its namespaces said */
export async function awaitEngine(
  docker: Docker,
  namespace: Namespace,
  { title, limitMs, isHopeless = () => false, signal }: AwaitOptions,
): Promise<void> {
  const deadline = Date.now() + limitMs;
  const stop = aborted(signal).then(() => false);
  // A connection that something between here and the engine has taken may never be answered.
  while (!(await Promise.race([answers(docker), sleep(2 * PING_MS, false), stop]))) {
    signal.throwIfAborted();
    if (!namespace.isRunning() || Date.now() > deadline || isHopeless()) {
      throw new Error(`${title} did not start:\n${namespace.readLog().slice(-LOG_LIMIT)}`);
    }
    await sleep(LOOK_EVERY_MS);
  }
}

async function answers(docker: Docker): Promise<boolean> {
  try {
    await pingEngine(docker, PING_MS);
    return true;
  } catch {
    return false;
  }
}

interface DockerOptions {
  /** Path of a dockerd, or of a runtime, that is not the package's; in the same file system as the folders of runs. */
  readonly program?: string | undefined;
  readonly hasNetwork: boolean;
}

function dockerCommand(
  folder: string,
  { daemon = {}, rootless = false }: EngineEntry,
  { program, hasNetwork }: DockerOptions,
): string[] {
  const own = join(folder, basename(program ?? 'dockerd'));
  // Only the folder of the run is seen inside.
  if (program) linkSync(program, own);
  const dockerd = basename(own) === 'dockerd' && program ? own : 'dockerd';
  const config = join(folder, 'daemon.json');
  writeFileSync(config, JSON.stringify(daemon));
  const run = rootless ? '/run/eng' : '/run';
  return [
    ...(rootless ? [...AS_USER, '/usr/share/docker.io/contrib/dockerd-rootless.sh'] : [dockerd]),
    ...['--host', `unix://${socketOf(folder)}`, '--config-file', config, '--data-root', '/engine/docker'],
    ...['--exec-root', `${run}/docker`, '--pidfile', `${run}/docker.pid`],
    ...(hasNetwork ? [] : ['--bridge=none', '--iptables=false', '--ip6tables=false']),
  ];
}

export function socketOf(folder: string): string {
  return join(folder, 'socket', 'engine.sock');
}

function podmanCommand(folder: string, rootless = false): string[] {
  const storage = join(folder, 'storage.conf');
  const containers = join(folder, 'containers.conf');
  const places = [
    'graphroot = "/engine/podman"',
    // What it is without root.
    'rootless_storage_path = "/engine/podman"',
    `runroot = "${rootless ? '/run/eng/storage' : '/run/containers/storage'}"`,
  ];
  writeFileSync(storage, ['[storage]', 'driver = "overlay"', ...places, ''].join('\n'));
  // Its own default for builds is more than a machine may allow, and its watchers of execs stay five minutes.
  const limits = '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=8000:8000"]\n';
  writeFileSync(
    containers,
    `${limits}[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\nexit_command_delay = 10\n`,
  );
  return [
    ...(rootless ? AS_USER : ['env']),
    ...[`CONTAINERS_STORAGE_CONF=${storage}`, `CONTAINERS_CONF=${containers}`],
    ...['podman', 'system', 'service', '--time=0', `unix://${socketOf(folder)}`],
  ];
}
