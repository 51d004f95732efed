import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type Docker from 'dockerode';
import { createDockerClient, pingEngine } from '../../src/engines/docker/connect/connect.ts';
import type { EngineEntry } from './catalog.ts';
import { enterNamespace } from './namespace.ts';
import { ensureRoot, readVersions } from './roots.ts';

const PING_MS = 2000;
const START_LIMIT_MS = 60_000;
const LOOK_EVERY_MS = 200;

/** An engine of this run alone. Disposing of it removes everything of it. */
export interface RunningEngine extends AsyncDisposable {
  readonly docker: Docker;
  readonly address: string;
  /** Packages with their versions, with commas between. */
  readonly versions: string;
}

/** Sets an engine up and starts it. @throws Error when it does not answer */
export async function startEngine(
  entry: EngineEntry,
  report: (line: string) => void,
  signal: AbortSignal,
): Promise<RunningEngine> {
  const root = await ensureRoot(entry.suite, report, signal);
  await using stack = new AsyncDisposableStack();
  const command = entry.kind === 'podman' ? podmanCommand : (folder: string) => dockerCommand(folder, entry.daemon);
  const namespace = stack.use(enterNamespace({ name: entry.name, root, command, prepare: entry.prepare ?? [] }));
  const address = `unix://${join(namespace.folder, 'engine.sock')}`;
  const docker = createDockerClient({ address, source: 'this run' });
  const deadline = Date.now() + START_LIMIT_MS;
  while (!(await answers(docker))) {
    signal.throwIfAborted();
    if (!namespace.isRunning() || Date.now() > deadline) throw new Error(`${entry.title} did not start.`);
    await sleep(LOOK_EVERY_MS);
  }
  const versions = await readVersions(root, entry.packages);
  const owned = stack.move();
  return { docker, address, versions, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

async function answers(docker: Docker): Promise<boolean> {
  try {
    await pingEngine(docker, PING_MS);
    return true;
  } catch {
    return false;
  }
}

function dockerCommand(folder: string, daemon: EngineEntry['daemon'] = {}): string[] {
  const config = join(folder, 'daemon.json');
  writeFileSync(config, JSON.stringify(daemon));
  return [
    ...['dockerd', '--host', `unix://${join(folder, 'engine.sock')}`, '--config-file', config],
    ...['--data-root', join(folder, 'data'), '--exec-root', '/run/docker', '--pidfile', '/run/docker.pid'],
    ...['--bridge=none', '--iptables=false', '--ip6tables=false'],
  ];
}

function podmanCommand(folder: string): string[] {
  const storage = join(folder, 'storage.conf');
  const containers = join(folder, 'containers.conf');
  const places = [`graphroot = "${join(folder, 'data')}"`, 'runroot = "/run/containers/storage"'];
  writeFileSync(storage, ['[storage]', 'driver = "overlay"', ...places, ''].join('\n'));
  writeFileSync(containers, '[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n');
  return [
    ...['env', `CONTAINERS_STORAGE_CONF=${storage}`, `CONTAINERS_CONF=${containers}`],
    ...['podman', 'system', 'service', '--time=0', `unix://${join(folder, 'engine.sock')}`],
  ];
}
