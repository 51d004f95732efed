import { randomBytes } from 'node:crypto';
import { expect, inject, test } from 'vitest';
import { dockerAssurances } from '../../src/engines/docker/assurances.ts';
import { DockerEngine } from '../../src/engines/docker/engine.ts';
import { createLog } from '../../src/log.ts';
import { probeSandbox } from '../../src/probe/probe.ts';
import type { SandboxProfile } from '../../src/sandbox/engine.ts';
import { engine } from '../support/engine-access.ts';

/** What a look into a first sandbox of the engine under test finds, where another was `asked` for than is `given`. */
async function look(given: Partial<SandboxProfile> = {}, asked: Partial<SandboxProfile> = {}): Promise<string[]> {
  const { docker, driver, image, runtime } = await engine();
  const log = createLog('error');
  const usual = { image, memoryMb: 256, cpus: 1, pids: 64, diskMb: 64, maxLifetimeS: 600, ...runtime };
  const profile: SandboxProfile = { ...usual, ...given };
  const assurances = dockerAssurances(docker, driver, profile);
  const backend = {
    ...{ engine: new DockerEngine(docker, driver, log), profile, log },
    ...{ label: () => `probe-${randomBytes(4).toString('hex')}`, configuration: { preload: 'none' } as const },
  };
  const { signal } = new AbortController();
  const found = await probeSandbox(
    backend,
    {
      ...assurances,
      expect: (probed) => assurances.expect({ ...probed, ...asked }),
      inspect: (ref, probed) => assurances.inspect(ref, { ...probed, ...asked }),
    },
    signal,
  );
  return found.map(({ name, found: said }) => `${name}: ${said}`);
}

test('a look into a first sandbox of this engine finds all that was asked for, but what it is known to lack', async () => {
  const names = (await look()).map((line) => line.split(':')[0]);
  expect(names.join(',')).toBe(inject('allowMissing'));
});

// gVisor's own kernel does not tell most of them.
test.skipIf(inject('isGvisor'))('it finds limits that are not those which were asked for', async () => {
  const found = await look({}, { memoryMb: 128, pids: 32, diskMb: 16, cpus: 0.5 });
  expect(found.map((line) => line.split(':')[0])).toEqual(
    expect.arrayContaining(['memory', 'pids', 'cpu', 'disks', 'inodes']),
  );
});
