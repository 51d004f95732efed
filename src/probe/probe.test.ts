import { expect, test } from 'vitest';
import { FAKE_PROFILE, FakeEngine, FakeMachine } from '../../test/support/fake-engine.ts';
import { FakeAssurances, SEALED } from '../../test/support/probe-report.ts';
import { createLog } from '../log.ts';
import { diskSizesFor } from '../sandbox/disk-sizes.ts';
import { probeSandbox, profileToProbe } from './probe.ts';
import { PROBE } from './program.ts';

function open() {
  const machine = new FakeMachine();
  const assurances = new FakeAssurances();
  const configuration = { preload: 'none' } as const;
  const log = { ...createLog('error'), warn: () => {} };
  const backend = { engine: new FakeEngine(machine), profile: FAKE_PROFILE, label: () => 'i', configuration, log };
  return { machine, assurances, backend };
}

test('the sandbox is as every other, but for limits that would take long to reach', () => {
  const usual = { image: 'image', memoryMb: 256, cpus: 1, pids: 64, diskMb: 64, maxLifetimeS: 600, runtime: 'crun' };
  expect(profileToProbe(usual)).toEqual(usual);
  const large = profileToProbe({ ...usual, memoryMb: 65_536, pids: 32_768, diskMb: 50_000 });
  expect(large).toMatchObject({ memoryMb: 256, pids: 64, runtime: 'crun' });
  expect(() => diskSizesFor(large.memoryMb, large.diskMb)).not.toThrow();
});

test('the program learns what to look at, and tries limits beyond where they are', async () => {
  const { machine, assurances, backend } = open();
  const asked = Promise.withResolvers<unknown>();
  machine.programs.set(PROBE, async (run) => {
    asked.resolve(JSON.parse(await run.readStdin()));
    await run.print(JSON.stringify(SEALED));
    return 0;
  });
  expect(await probeSandbox(backend, assurances, new AbortController().signal)).toEqual([]);
  expect(await asked.promise).toEqual({
    ...{ filter: true, memory: 384 * 2 ** 20, processes: 80, disks: ['/workspace', '/dev/shm'] },
    ...{
      masked: ['/proc/kcore', '/sys/kernel'],
      rlimits: ['NOFILE', 'CORE'],
      fill: [],
      same_user: false,
      addresses: null,
    },
  });
});

test('it is labelled as the sandboxes of its control plane are, by which they are swept', async () => {
  const { machine, assurances, backend } = open();
  const seen: unknown[] = [];
  machine.programs.set(PROBE, async (run) => {
    seen.push(...[...machine.sandboxes.values()].map(({ spec }) => spec.instance));
    await run.print(JSON.stringify(SEALED));
    return 0;
  });
  await probeSandbox(backend, assurances, new AbortController().signal);
  expect([seen, machine.sandboxes.size]).toEqual([['i'], 0]);
});
