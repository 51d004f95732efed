import Docker from 'dockerode';
import { loadConfig } from '../src/config.ts';
import { ensureImage } from '../src/docker/image.ts';

interface TestEngine {
  readonly docker: Docker;
  readonly image: string;
}

let ready: Promise<TestEngine> | undefined;

/** The engine that `DOCKER_HOST` names and the sandbox image that `GLOVEBOX_IMAGE` names, built when it is missing. */
export function engine(): Promise<TestEngine> {
  ready ??= prepare();
  return ready;
}

async function prepare(): Promise<TestEngine> {
  const docker = new Docker();
  const image = await ensureImage(docker, loadConfig(), (line) => process.stderr.write(`${line}\n`));
  return { docker, image };
}
