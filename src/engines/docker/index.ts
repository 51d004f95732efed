import type { Protection } from '../../sandbox/assurances.ts';
import type { OpenedEngine } from '../../sandbox/engine.ts';
import type { EngineOpenOptions } from '../options.ts';
import { dockerAssurances } from './assurances.ts';
import { checkEngine } from './connect/check-engine.ts';
import { type ConnectOptions, connectEngine, type EngineConnection, findEngine } from './connect/connect.ts';
import { openDriver } from './drivers/open-driver.ts';
import { DockerEngine } from './engine.ts';
import { ensureImage, type ImageOptions } from './images/sandbox-image.ts';
import { isRunning } from './inspect.ts';
import { installEngine } from './install/install.ts';
import { noteInstalled } from './install/installed-file.ts';

/** Settings of a Docker-compatible engine and its sandboxes. Sizes are in MiB, lifetimes in seconds. */
export interface DockerSettings extends ImageOptions {
  readonly hostEnvironment: ConnectOptions['hostEnvironment'] & ImageOptions['hostEnvironment'];
  readonly memoryMb: number;
  readonly cpus: number;
  readonly pids: number;
  readonly diskMb: number;
  readonly maxLifetimeS: number;
  /** Protections that sandboxes may lack. */
  readonly allowMissing: readonly Protection[];
  /** Folder for files that the engine is to read. */
  readonly stateDir: string;
  /** The engine's OCI runtime; its own default if left out. */
  readonly runtime?: string;
}

/**
 * Finds an engine and a sandbox image, else installs and builds them where that is allowed.
 * @throws GloveboxError `engine_unavailable` with the reason and the next step
 */
export async function openDocker(
  settings: DockerSettings,
  { mayInstall, log, report, signal }: EngineOpenOptions,
): Promise<OpenedEngine> {
  const found = mayInstall ? await findEngine(settings) : await connectEngine(settings);
  const { docker, address } = found ?? (await install(settings, report, signal));
  const facts = await checkEngine(docker, settings);
  const driver = await openDriver(docker, { ...settings, address, facts });
  const image = await ensureImage(docker, settings, report, signal);
  const { memoryMb, cpus, pids, diskMb, maxLifetimeS, runtime } = settings;
  const profile = { image, memoryMb, cpus, pids, diskMb, maxLifetimeS, ...(runtime ? { runtime } : {}) };
  const assurances = dockerAssurances(docker, driver, profile);
  return { engine: new DockerEngine(docker, driver, log), profile, assurances };
}

/** Installs an engine, and notes that for `glovebox uninstall`. @throws GloveboxError as `installEngine` does */
async function install(
  settings: DockerSettings,
  report: EngineOpenOptions['report'],
  signal: AbortSignal | undefined,
): Promise<EngineConnection> {
  const installed = await installEngine(settings, report, signal);
  if (installed.isNew) noteInstalled(settings.stateDir);
  return installed;
}

/**
 * Returns whether a container of that name runs on the engine.
 * @throws GloveboxError, or the engine's own error, if the engine does not answer
 */
export async function isContainerRunning(settings: ConnectOptions, name: string): Promise<boolean> {
  return await isRunning((await connectEngine(settings)).docker, name);
}
