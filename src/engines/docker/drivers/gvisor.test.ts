import { PassThrough } from 'node:stream';
import type Docker from 'dockerode';
import { describe, expect, test } from 'vitest';
import { limitExecOptions, lookExecOptions } from '../hardening/gvisor.ts';
import { MAIN_UID } from '../hardening/spec.ts';
import { GvisorDriver } from './gvisor.ts';

const SPEC = {
  ...{ key: 'k3y', instance: 'test', image: 'image', uid: 12_345, runtime: 'runsc' },
  ...{ memoryMb: 256, cpus: 1, pids: 64, diskMb: 64, maxLifetimeS: 60 },
};

/** A Docker whose execs all print `output`. Notes those, and the names of the calls. */
function openDocker(output: string) {
  const execs: unknown[] = [];
  const container = {
    start: async () => {},
    exec: async (options: unknown) => {
      execs.push(options);
      return {
        id: 'exec',
        start: async () => {
          const stream = new PassThrough();
          stream.end(multiplexed(output));
          return stream;
        },
      };
    },
  } as unknown as Docker.Container;
  const fake = {
    modem: { dial: (_: unknown, done: (error: unknown, answer: unknown) => void) => done(undefined, { Id: 'made' }) },
    getContainer: () => container,
  };
  return { driver: new GvisorDriver(fake as unknown as Docker), container, execs };
}

function multiplexed(text: string): Buffer {
  const header = Buffer.alloc(8);
  header[0] = 1;
  header.writeUInt32BE(Buffer.byteLength(text), 4);
  return Buffer.concat([header, Buffer.from(text)]);
}

describe('a sandbox of gVisor', () => {
  test('gets a limit of processes inside before any code runs', async () => {
    const { driver, execs } = openDocker('done\n');
    await driver.start(await driver.create(SPEC));
    expect(execs).toEqual([limitExecOptions(64)]);
  });

  test.each(['', 'sh: 1: cannot create /sys/fs/cgroup/pids/pids.max\n'])(
    'is not used when that limit was not set: %j',
    async (output) => {
      const { driver } = openDocker(output);
      const container = await driver.create(SPEC);
      await expect(driver.start(container)).rejects.toMatchObject({
        code: 'engine_unavailable',
        message: 'A sandbox of gVisor got no limit of processes.',
      });
    },
  );
});

describe('a look into a sandbox of gVisor', () => {
  const main = `State:\tS (sleeping)\nUid:\t${MAIN_UID}\t${MAIN_UID}\n`;
  const other = (uid: number, state: string) => `State:\t${state} (state)\nUid:\t${uid}\t${uid}\t${uid}\t${uid}\n`;

  test.each([
    ['sees a process of the user', `${main}${other(12_345, 'R')}done\n`, true],
    ['sees none where there is only the main process, or that of another', `${main}${other(12_346, 'R')}done\n`, false],
    ['takes one that has ended for none', `${main}${other(12_345, 'Z')}done\n`, false],
    ['that was cut short does not show that there is none', main, true],
    ['that shows nothing does not show that there is none', '', true],
  ])('%s', async (_what, output, found) => {
    const { driver, container, execs } = openDocker(output);
    expect(await driver.hasProcesses(container, 12_345)).toBe(found);
    expect(execs).toEqual([lookExecOptions()]);
  });
});
