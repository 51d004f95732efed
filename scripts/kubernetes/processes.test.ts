import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { firstChildOf, isAlive, killProcess, ownProcess, startDetached } from './processes.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'glovebox-processes-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

test('a process is known until it is killed, and what it said is kept', async () => {
  const log = join(folder, 'log');
  const known = startDetached(['sh', '-c', 'echo said; exec sleep 1000'], log);
  await vi.waitFor(() => expect(readFileSync(log, 'utf8')).toBe('said\n'));
  expect(isAlive(known)).toBe(true);
  await killProcess(known);
  expect(isAlive(known)).toBe(false);
});

test('a process that got the number of one of before was killed in its place', async () => {
  const other = startDetached(['sleep', '1000'], join(folder, 'log'));
  await killProcess({ pid: other.pid, started: '1' });
  expect(isAlive(other)).toBe(true);
  await killProcess(other);
});

test('the first child of a process is found once there is one', async () => {
  const parent = startDetached(['sh', '-c', 'sleep 1000 & wait'], join(folder, 'log'));
  const child = await firstChildOf(parent, 10_000);
  expect(readFileSync(`/proc/${child.pid}/cmdline`, 'utf8')).toMatch(/^(sleep|sh)\0/);
  await killProcess(parent);
  await killProcess(child);
});

test('a program that cannot be started is named', () => {
  expect(() => startDetached(['/nowhere/program'], join(folder, 'log'))).toThrow(
    '/nowhere/program could not be started',
  );
});

test('this process is alive', () => {
  expect(isAlive(ownProcess())).toBe(true);
});
