import { mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, onTestFinished, test } from 'vitest';
import { canStartSecond, removeSecond, secondDaemon } from '../../../../test/support/second-daemon.ts';
import type { DaemonPaths } from './daemon.ts';
import { installEngine } from './install.ts';

function makePaths(args: readonly string[] = []): DaemonPaths {
  const root = mkdtempSync(join(tmpdir(), 'gbx-dockerd-'));
  onTestFinished(() => removeSecond(root));
  return secondDaemon(root, args);
}

function install(paths: DaemonPaths) {
  return installEngine({ setup: 'auto' }, () => {}, undefined, paths);
}

function readPid(file: string): number {
  return Number(readFileSync(file, 'utf8'));
}

function isAlive(pid: number): boolean {
  try {
    // A zombie has ended: it only waits for a parent that does not ask.
    return !/^State:\s*Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

describe.skipIf(!canStartSecond)('a daemon that is not running', { timeout: 120_000 }, () => {
  test('is started, found by the next who looks, and stopped with its containerd', async () => {
    const paths = makePaths();
    const engine = await install(paths);
    expect((await engine.docker.version()).Version).toBeTruthy();
    const pids = [readPid(paths.pidFile), readPid(join(paths.containerdDir, 'containerd.pid'))];
    const second = await install(paths);
    await second.stop();
    expect(pids.map(isAlive)).toEqual([true, true]);
    await engine.stop();
    expect(pids.map(isAlive)).toEqual([false, false]);
  });

  test("removed the bridge of the machine's own engine by its start", async () => {
    const bridge = () => readdirSync('/sys/class/net').filter((name) => name === 'docker0');
    const before = bridge();
    const engine = await install(makePaths());
    await engine.stop();
    expect(bridge()).toEqual(before);
  });

  test('starts after the last one was killed and another process has got its number', async () => {
    const paths = makePaths();
    await install(paths);
    const pid = readPid(paths.pidFile);
    process.kill(pid, 'SIGKILL');
    while (isAlive(pid)) await sleep(5);
    writeFileSync(paths.pidFile, String(process.pid));
    const engine = await install(paths);
    expect((await engine.docker.version()).Version).toBeTruthy();
    const containerd = readPid(join(paths.containerdDir, 'containerd.pid'));
    await engine.stop();
    expect(isAlive(containerd)).toBe(false);
  });

  test("starts although another process has got the number of the last one's containerd", async () => {
    const paths = makePaths();
    mkdirSync(paths.containerdDir, { recursive: true });
    writeFileSync(join(paths.containerdDir, 'containerd.pid'), String(process.pid));
    const engine = await install(paths);
    await engine.stop();
  });

  test('is reported with the end of its log when it cannot start', async () => {
    const paths = makePaths(['--storage-driver=nonesuch']);
    await expect(install(paths)).rejects.toThrow(/dockerd ended while starting[\s\S]*nonesuch/);
  });
});
