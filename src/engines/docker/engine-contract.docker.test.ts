import { engine } from '../../../test/support/engine-access.ts';
import { createLog } from '../../log.ts';
import { testEngine } from '../engine-contract.ts';
import { createDockerClient } from './connect/connect.ts';
import { DockerEngine } from './engine.ts';

testEngine('Docker', async () => {
  const { docker, image, runtime } = await engine();
  const log = createLog('error');
  const profile = { image, memoryMb: 256, cpus: 1, pids: 64, diskMb: 64, maxLifetimeS: 600, ...runtime };
  return {
    opened: { engine: new DockerEngine(docker, log), profile },
    reopen: () => new DockerEngine(docker, log),
    openUnreachable: () =>
      new DockerEngine(createDockerClient({ address: 'tcp://127.0.0.1:9', source: 'a test' }), log),
    [Symbol.asyncDispose]: async () => {},
  };
});
