import Dockerode from 'dockerode';
import { expect, test } from 'vitest';
import { checkEngine } from './check-engine.ts';

function engine(answer: () => object): Dockerode {
  return Object.assign(new Dockerode(), { info: async () => answer() });
}

const docker = engine(() => ({ NCPU: 4, Runtimes: { runc: {}, runsc: {} } }));

test('an engine takes its own processors and runtimes, and nothing else', async () => {
  await checkEngine(docker, { cpus: 4, runtime: 'runsc' });
  await expect(checkEngine(docker, { cpus: 4.1 })).rejects.toThrow(
    'GLOVEBOX_CPUS is 4.1, but the engine supports 0.01 to 4.',
  );
  await expect(checkEngine(docker, { cpus: 1, runtime: 'kata' })).rejects.toThrow('has only: runc, runsc.');
});

test.each(['io.containerd.runsc.v1', '/usr/bin/crun'])('%s is for the engine to find', async (runtime) => {
  await checkEngine(docker, { cpus: 1, runtime });
});

test.each([
  [{ MemoryLimit: false, PidsLimit: false }, 'cannot limit memory and processes of'],
  [{ MemoryLimit: false, PidsLimit: true }, 'cannot limit memory of'],
  [{ PidsLimit: false }, 'cannot limit processes of'],
])('rootless Docker on control groups of version 1 served sandboxes without limits: %j', async (facts, said) => {
  await expect(
    checkEngine(
      engine(() => facts),
      { cpus: 1 },
    ),
  ).rejects.toThrow(said);
});

test('limits that may be missing are no reason to refuse, one by one', async () => {
  const without = engine(() => ({ MemoryLimit: false, PidsLimit: false }));
  await expect(checkEngine(without, { cpus: 1, allowMissing: ['pids'] })).rejects.toThrow('cannot limit memory of');
  await checkEngine(without, { cpus: 1, allowMissing: ['pids', 'memory'] });
});

test.each([[null], [''], [undefined]])('an engine that answers %j about itself says nothing', async (answer) => {
  const silent = Object.assign(new Dockerode(), { info: async () => answer });
  await checkEngine(silent, { cpus: 64, runtime: 'kata' });
});

test('an engine that limits memory and processes is taken, and so is one that does not say', async () => {
  await checkEngine(
    engine(() => ({ MemoryLimit: true, PidsLimit: true, SwapLimit: false })),
    { cpus: 1 },
  );
  await checkEngine(
    engine(() => ({})),
    { cpus: 1 },
  );
});

test('what the socket proxy keeps to itself is no reason to refuse', async () => {
  const silent = engine(() => {
    throw Object.assign(new Error('not here'), { statusCode: 403 });
  });
  await checkEngine(silent, { cpus: 64, runtime: 'kata' });
});
