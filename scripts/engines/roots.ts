import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { ensureMmdebstrap } from '../../src/engines/docker/images/base.ts';
import { chooseAptSettings } from '../../src/engines/docker/images/debian-base.ts';
import { collect, runCommand, waitForExit } from '../../src/lib/run-command.ts';
import type { EngineEntry } from './catalog.ts';

export const CACHE_DIR = join(homedir(), '.cache', 'glovebox-engines');

type Suite = EngineEntry['suite'];

const PACKAGES = [
  ...['ca-certificates', 'netbase', 'iproute2', 'iptables', 'procps', 'uidmap', 'util-linux', 'kmod', 'tini'],
  ...['slirp4netns', 'fuse-overlayfs', 'rootlesskit', 'podman', 'catatonit', 'netavark', 'aardvark-dns'],
  ...['docker.io', 'containerd', 'runc', 'crun', 'runsc'],
];
/** Packages that a release has besides. */
const MORE: Readonly<Record<Suite, readonly string[]>> = {
  bookworm: [],
  trixie: ['docker-cli', 'passt'],
  sid: ['docker-cli', 'passt'],
};
const EXCLUDED = ['/usr/share/man/*', '/usr/share/doc/*', '/usr/share/info/*', '/usr/share/locale/*'];

/**
 * Returns the folder of a release of Debian with all engines of it. It is made once, by mmdebstrap from the mirror that
 * apt uses here, and never written to again.
 */
export async function ensureRoot(suite: Suite, report: (line: string) => void, signal: AbortSignal): Promise<string> {
  return await ensurePackages(suite, [...PACKAGES, ...MORE[suite]], report, signal);
}

/** Returns the folder of a release with all its engines, and further packages. */
export async function ensureRootWith(
  suite: Suite,
  further: readonly string[],
  report: (line: string) => void,
  signal: AbortSignal,
): Promise<string> {
  return await ensurePackages(suite, [...PACKAGES, ...MORE[suite], ...further], report, signal);
}

/** Returns the folder of a release with packages and what they need. It is made once, too. */
export async function ensurePackages(
  suite: Suite,
  packages: readonly string[],
  report: (line: string) => void,
  signal: AbortSignal,
): Promise<string> {
  const hash = createHash('sha256')
    .update(JSON.stringify([packages, EXCLUDED]))
    .digest('hex')
    .slice(0, 12);
  const root = join(CACHE_DIR, `${suite}-${hash}`);
  if (existsSync(root)) return root;
  report(`Making a root of ${suite} in ${root} …`);
  mkdirSync(CACHE_DIR, { recursive: true });
  await ensureMmdebstrap('auto', report, signal);
  const unfinished = `${root}.${process.pid}`;
  try {
    await runMmdebstrap(suite, packages, unfinished, signal);
    renameSync(unfinished, root);
  } finally {
    rmSync(unfinished, { recursive: true, force: true });
  }
  return root;
}

async function runMmdebstrap(
  suite: Suite,
  packages: readonly string[],
  target: string,
  signal: AbortSignal,
): Promise<void> {
  const { stdout: settings } = await runCommand('apt-config', ['dump', '--no-empty'], { signal });
  const args = [
    ...['--variant=minbase', '--mode=root', '--format=directory', `--include=${packages.join(',')}`],
    ...chooseAptSettings(settings).map((setting) => `--aptopt=${setting}`),
    ...['--aptopt=APT::Install-Recommends "false"', '--dpkgopt=force-unsafe-io'],
    ...EXCLUDED.map((path) => `--dpkgopt=path-exclude=${path}`),
    ...[suite, target, '-'],
  ];
  const child = spawn('mmdebstrap', args, { stdio: ['pipe', 'ignore', 'pipe'], signal });
  child.stdin.on('error', () => {});
  child.stdin.end(`deb ${await findMirror(signal)} ${suite} main\n`);
  const stderr = collect(child.stderr);
  const code = await waitForExit(child, stderr);
  signal.throwIfAborted();
  if (code !== 0) throw new Error(`mmdebstrap could not make a root of ${suite}.\n${stderr.join('').slice(-2000)}`);
}

/** Address of the mirror of Debian's packages, from the configuration of apt on this machine. */
async function findMirror(signal: AbortSignal): Promise<string> {
  const format = '$(CREATED_BY) $(REPO_URI) $(ORIGIN) $(RELEASE)';
  const { stdout } = await runCommand('apt-get', ['indextargets', '--format', format], { signal });
  const found = stdout
    .split('\n')
    .map((line) => line.split(' '))
    .find(([by, , origin, release = '']) => by === 'Packages' && origin === 'Debian' && /^[a-z]+$/.test(release));
  if (!found?.[1]) throw new Error('apt has no mirror of Debian on this machine (run "apt-get update" first).');
  return found[1];
}

/** Returns packages of a root with their versions, with commas between. */
export async function readVersions(root: string, packages: readonly string[]): Promise<string> {
  const { stdout } = await runCommand('dpkg-query', [
    `--admindir=${join(root, 'var/lib/dpkg')}`,
    // biome-ignore lint/suspicious/noTemplateCurlyInString: dpkg-query has placeholders of this form
    ...['--show', '--showformat=${Package} ${Version}\\n', ...packages],
  ]);
  return stdout.trim().split('\n').join(', ');
}
