import { engine } from '../../../test/support/engine-access.ts';
import { createLog } from '../../log.ts';
import { testEngine } from '../engine-contract.ts';
import { createDockerClient } from './connect/connect.ts';
import { DockerDriver } from './drivers/docker.ts';
import { DockerEngine } from './engine.ts';

testEngine('Docker', async () => {
  const { docker, driver, image, runtime } = await engine();
  const log = createLog('error');
  const profile = { image, memoryMb: 256, cpus: 1, pids: 64, diskMb: 64, maxLifetimeS: 600, ...runtime };
  return {
    opened: { engine: new DockerEngine(docker, driver, log), profile },
    reopen: () => new DockerEngine(docker, driver, log),
    openUnreachable: () => {
      const away = createDockerClient({ address: 'tcp://127.0.0.1:9', source: 'a test' });
      return new DockerEngine(away, new DockerDriver(away), log);
    },
    [Symbol.asyncDispose]: async () => {},
  };
});
