import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';

/** Runs slirp4netns of a root in the network of this machine, with the files that it needs of it. */
const SCRIPT = `
set -eu
mount --bind /proc "$1/proc"
mount --bind /dev "$1/dev"
mount --bind "$(readlink -f /etc/resolv.conf)" "$1/etc/resolv.conf"
exec setpriv --pdeathsig KILL chroot "$1" slirp4netns --configure --mtu=1400 --disable-host-loopback --ready-fd=1 "$2" tap0
`;

/** Connects namespaces to what this machine reaches, its own loopback excepted. Builds of images need it. */
export async function connectNetwork(root: string, parentPid: number): Promise<AsyncDisposable> {
  const child = spawn(
    'unshare',
    ['--mount', '--propagation', 'private', 'bash', '-c', SCRIPT, 'network', root, String(firstChild(parentPid))],
    { stdio: ['ignore', 'pipe', 'ignore'] },
  );
  const ended = once(child, 'exit');
  await Promise.race([once(child.stdout, 'data'), ended]);
  if (child.exitCode !== null) throw new Error('slirp4netns did not start.');
  return {
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

function firstChild(pid: number): number {
  const [child] = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
  if (!child) throw new Error('The first process of the namespaces has ended.');
  return Number(child);
}
