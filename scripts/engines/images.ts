import type Docker from 'dockerode';
import { loadConfig } from '../../src/config/load.ts';
import { type EngineConnection, findEngine } from '../../src/engines/docker/connect/connect.ts';
import { ensureBase } from '../../src/engines/docker/images/base.ts';
import { ensureImage } from '../../src/engines/docker/images/sandbox-image.ts';
import { installEngine } from '../../src/engines/docker/install/install.ts';
import { unlessAborted } from './stop.ts';

type Report = (line: string) => void;

/**
 * Loads the sandbox image into an engine, unless it has it: the machine's own engine builds it, if it does not have it
 * either.
 */
export async function loadSandboxImage(engine: Docker, report: Report, signal: AbortSignal): Promise<void> {
  const config = loadConfig(undefined, { image: 'slim' });
  await using machine = await openMachineEngine(report, signal);
  const image = await ensureImage(machine.docker, config, report, signal);
  await unlessAborted(copyImage(machine.docker, engine, image, report), signal);
}

/** Has an engine build the sandbox image. Only what it is built on comes from the machine's own engine. */
export async function buildSandboxImage(engine: Docker, report: Report, signal: AbortSignal): Promise<void> {
  const config = loadConfig(undefined, { image: 'slim' });
  await using machine = await openMachineEngine(report, signal);
  const image = await ensureBase(machine.docker, config, report, signal);
  await unlessAborted(copyImage(machine.docker, engine, image, report), signal);
  await ensureImage(engine, config, report, signal);
}

/** The engine of this machine; one is installed if there is none, and stopped again unless it is a service. */
export async function openMachineEngine(
  report: Report,
  signal: AbortSignal,
): Promise<AsyncDisposable & Pick<EngineConnection, 'docker' | 'address'>> {
  const config = loadConfig();
  const found = await findEngine(config);
  if (found) return { ...found, [Symbol.asyncDispose]: async () => {} };
  const installed = await installEngine(config, report, signal);
  return { ...installed, [Symbol.asyncDispose]: () => installed.stop() };
}

async function copyImage(docker: Docker, engine: Docker, image: string, report: Report): Promise<void> {
  if (await hasImage(engine, image)) return;
  report(`Loading ${image} …`);
  const loading = await engine.loadImage(await docker.getImage(image).get());
  loading.resume();
  await new Promise((resolve, reject) => loading.once('end', resolve).once('error', reject));
}

async function hasImage(engine: Docker, image: string): Promise<boolean> {
  try {
    await engine.getImage(image).inspect();
    return true;
  } catch {
    return false;
  }
}
