import type Docker from 'dockerode';
import { loadConfig } from '../../src/config/load.ts';
import { connectEngine } from '../../src/engines/docker/connect/connect.ts';
import { ensureImage } from '../../src/engines/docker/images/sandbox-image.ts';

/** Loads the sandbox image into an engine: the machine's own engine builds it, if it does not have it yet. */
export async function loadSandboxImage(engine: Docker, report: (line: string) => void): Promise<void> {
  const config = loadConfig(undefined, { image: 'slim' });
  const { docker } = await connectEngine(config);
  const image = await ensureImage(docker, config, report);
  report(`Loading ${image} …`);
  const loading = await engine.loadImage(await docker.getImage(image).get());
  loading.resume();
  await new Promise((resolve, reject) => loading.once('end', resolve).once('error', reject));
}
