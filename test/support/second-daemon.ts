import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { DaemonPaths } from '../../src/engines/docker/install/daemon.ts';

/** Whether an engine can be started here beside the machine's own. */
export const canStartSecond = process.getuid?.() === 0 && spawnSync('dockerd', ['--version']).status === 0;

/**
 * An engine beside the machine's own, of which nothing is shared. It has a network of its own: one that is told to have no
 * bridge removes docker0, whoever's that is.
 */
export function secondDaemon(root: string, args: readonly string[] = []): DaemonPaths {
  const execRoot = join(root, 'x');
  return {
    socket: join(root, 'docker.sock'),
    pidFile: join(root, 'docker.pid'),
    containerdDir: join(execRoot, 'containerd'),
    logFile: join(root, 'dockerd.log'),
    command: ['unshare', '--net', 'dockerd'],
    args: ['--data-root', join(root, 'data'), '--exec-root', execRoot, '--bridge=none', '--iptables=false', ...args],
  };
}

/** Removes what one that has been stopped leaves; if it did not end in order, its data directory is mounted on itself. */
export function removeSecond(root: string): void {
  spawnSync('umount', [join(root, 'data')]);
  rmSync(root, { recursive: true, force: true });
}
