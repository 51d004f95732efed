import type Docker from 'dockerode';
import { inject } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { createDockerClient } from '../../src/engines/docker/connect/connect.ts';
import { ensureImage } from '../../src/engines/docker/images/sandbox-image.ts';

interface TestEngine {
  readonly docker: Docker;
  readonly image: string;
  /** The runtime that the run asks for, as a part of a sandbox's specification. */
  readonly runtime: { readonly runtime?: string };
}

let ready: Promise<TestEngine> | undefined;

/** The run's engine and the sandbox image that `GLOVEBOX_IMAGE` names, built when it is missing. */
export function engine(): Promise<TestEngine> {
  ready ??= prepare();
  return ready;
}

async function prepare(): Promise<TestEngine> {
  const docker = createDockerClient({ address: inject('engineAddress'), source: 'the test run' });
  const image = await ensureImage(docker, loadConfig(), (line) => process.stderr.write(`${line}\n`));
  return { docker, image, runtime: inject('runtime') ? { runtime: inject('runtime') } : {} };
}
