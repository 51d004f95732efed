import { PassThrough } from 'node:stream';
import type Docker from 'dockerode';
import { expect, test } from 'vitest';
import { lookExecOptions } from '../hardening/gvisor.ts';
import { MAIN_UID } from '../hardening/spec.ts';
import { DockerDriver } from './docker.ts';

/** A container whose processes the engine refuses to list, and in which the main process and one of a user run. */
function openContainer(statusCode: number) {
  const execs: unknown[] = [];
  const output = Buffer.from(`State:\tS\nUid:\t${MAIN_UID}\nState:\tR\nUid:\t12345\ndone\n`);
  const header = Buffer.from([1, 0, 0, 0, 0, 0, 0, output.length]);
  const container = {
    top: async () => {
      throw Object.assign(new Error('unable to get all container pids'), { statusCode });
    },
    exec: async (options: unknown) => {
      execs.push(options);
      return { id: 'exec', start: async () => new PassThrough().end(Buffer.concat([header, output])) };
    },
  } as unknown as Docker.Container;
  return { container, execs };
}

const driver = new DockerDriver({} as Docker);

test('a rootless engine without control groups, which cannot list processes, is looked into', async () => {
  const { container, execs } = openContainer(500);
  expect(await driver.hasProcesses(container, 12_345)).toBe(true);
  expect(await driver.hasProcesses(container, 12_346)).toBe(false);
  expect(execs).toEqual([lookExecOptions(), lookExecOptions()]);
});

test('a sandbox that is gone is told, and not looked into', async () => {
  const { container, execs } = openContainer(404);
  await expect(driver.hasProcesses(container, 12_345)).rejects.toMatchObject({ code: 'sandbox_lost' });
  expect(execs).toEqual([]);
});
