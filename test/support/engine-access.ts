import { join } from 'node:path';
import type Docker from 'dockerode';
import { inject } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { createDockerClient } from '../../src/engines/docker/connect/connect.ts';
import type { ContainerDriver } from '../../src/engines/docker/drivers/driver.ts';
import { openDriver } from '../../src/engines/docker/drivers/open-driver.ts';
import { ensureImage } from '../../src/engines/docker/images/sandbox-image.ts';

interface TestEngine {
  readonly docker: Docker;
  readonly driver: ContainerDriver;
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
  const config = loadConfig();
  const image = await ensureImage(docker, config, (line) => process.stderr.write(`${line}\n`));
  const runtime = inject('runtime') ? { runtime: inject('runtime') } : {};
  const driver = await openDriver(docker, {
    ...{ address: inject('engineAddress'), stateDir: join(inject('stateRoot'), 'engine'), ...runtime },
    allowMissing: config.allowMissing,
  });
  return { docker, driver, image, runtime };
}
