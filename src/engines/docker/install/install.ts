import { existsSync } from 'node:fs';
import { GloveboxError } from '../../../errors.ts';
import { runCommand } from '../../../lib/run-command.ts';
import { createDockerClient, type EngineConnection, pingEngine } from '../connect/connect.ts';
import { findInstallableHost, installPackages } from '../host/apt.ts';
import { describeInstallation } from '../host/install-advice.ts';
import type { Report } from '../host/progress.ts';
import { type DaemonPaths, SYSTEM_DAEMON, startDaemon } from './daemon.ts';

export interface InstallOptions {
  /** With `never`, nothing is installed, and the error says what to do. */
  readonly setup: 'auto' | 'never';
}

export interface InstalledEngine extends EngineConnection {
  /** Whether this call has installed it, and not only started it. */
  readonly isNew: boolean;
  /** Stops the daemon if this call started it as a process. Services are not stopped. */
  stop(): Promise<void>;
}

/**
 * Installs Docker on this machine if it is missing, and starts it. Only as root on Debian or Ubuntu.
 * @throws GloveboxError `engine_unavailable` with the command for this platform, or with the reason of the failure
 */
export async function installEngine(
  { setup }: InstallOptions,
  report: Report,
  signal?: AbortSignal,
  paths: DaemonPaths = SYSTEM_DAEMON,
): Promise<InstalledEngine> {
  const host = setup === 'auto' ? await findInstallableHost() : undefined;
  if (!host) {
    const message = 'No container engine answers on this machine.';
    throw new GloveboxError('engine_unavailable', message, { hint: await describeInstallation() });
  }
  try {
    const isNew = !(await hasDaemon(signal));
    if (isNew) {
      report(`No container engine on this ${host.name}: installing Docker`);
      await installPackages(['docker.io'], report, signal);
    }
    return { ...(await startEngine(report, paths, signal)), isNew };
  } catch (cause) {
    signal?.throwIfAborted();
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new GloveboxError('engine_unavailable', `Docker could not be set up on this machine: ${reason}`, {
      hint: 'Set Docker up by hand and start again, or set DOCKER_HOST to an engine elsewhere.',
      cause,
    });
  }
}

async function hasDaemon(signal?: AbortSignal): Promise<boolean> {
  return (await runCommand('dockerd', ['--version'], { signal })).code === 0;
}

async function startEngine(
  report: Report,
  paths: DaemonPaths,
  signal?: AbortSignal,
): Promise<Omit<InstalledEngine, 'isNew'>> {
  const address = `unix://${paths.socket}`;
  const docker = createDockerClient({ address, source: paths.socket });
  const answers = async () => {
    try {
      await pingEngine(docker, 2000);
      return true;
    } catch {
      return false;
    }
  };
  const connection = { docker, address, source: paths.socket };
  // The installation may have started it.
  if (await answers()) return { ...connection, stop: async () => {} };
  report('Starting Docker');
  if (paths === SYSTEM_DAEMON && existsSync('/run/systemd/system')) {
    await startService(signal);
    if (await answers()) return { ...connection, stop: async () => {} };
    throw new Error(`docker.service is running, but no engine answers at ${paths.socket}`);
  }
  const stop = await startDaemon(paths, answers, signal);
  return { ...connection, stop: stop ?? (async () => {}) };
}

/** Starts the service and waits until it is ready. @throws Error with the last lines of its log */
async function startService(signal?: AbortSignal): Promise<void> {
  const { code, stderr } = await runCommand('systemctl', ['start', 'docker.service'], { signal });
  if (code === 0) return;
  const log = await runCommand('journalctl', ['--unit=docker.service', '--lines=12', '--no-pager', '--output=cat']);
  throw new Error(`systemctl start docker: ${stderr.trim()}\n${log.stdout.trim()}`);
}
