import type Docker from 'dockerode';
import { loadConfig } from '../../src/config/load.ts';
import { connectEngine } from '../../src/engines/docker/connect/connect.ts';
import { ensureBase } from '../../src/engines/docker/images/base.ts';
import { ensureImage } from '../../src/engines/docker/images/sandbox-image.ts';

type Report = (line: string) => void;

/** Loads the sandbox image into an engine: the machine's own engine builds it, if it does not have it yet. */
export async function loadSandboxImage(engine: Docker, report: Report): Promise<void> {
  const config = loadConfig(undefined, { image: 'slim' });
  const { docker } = await connectEngine(config);
  await copyImage(docker, engine, await ensureImage(docker, config, report), report);
}

/** Has an engine build the sandbox image. Only what it is built on comes from the machine's own engine. */
export async function buildSandboxImage(engine: Docker, report: Report, signal: AbortSignal): Promise<void> {
  const config = loadConfig(undefined, { image: 'slim' });
  const { docker } = await connectEngine(config);
  await copyImage(docker, engine, await ensureBase(docker, config, report, signal), report);
  await ensureImage(engine, config, report, signal);
}

async function copyImage(docker: Docker, engine: Docker, image: string, report: Report): Promise<void> {
  report(`Loading ${image} …`);
  const loading = await engine.loadImage(await docker.getImage(image).get());
  loading.resume();
  await new Promise((resolve, reject) => loading.once('end', resolve).once('error', reject));
}
