import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createInterface } from 'node:readline';
import type Dockerode from 'dockerode';
import { collect, runCommand, waitForExit } from './child.ts';
import type { OsRelease } from './os-release.ts';
import { lastLines, type Report, readProgress, withoutRepeats } from './progress.ts';

/** What python:3.13-slim has besides a minimal Debian, and no more. */
const PACKAGES = ['python3', 'python3-pip', 'python3-venv', 'ca-certificates', 'netbase', 'tzdata'];
/** Left out while unpacking: half of the bytes, none of which a program reads. */
const EXCLUDED = ['/usr/share/man/*', '/usr/share/doc/*', '/usr/share/info/*', '/usr/share/locale/*'];
const DEBIAN_RELEASE = 'trixie';

/** Where a distribution's packages come from, as apt is configured here. */
export interface PackageSource {
  readonly release: string;
  /** Lines of a sources.list. */
  readonly sources: readonly string[];
}

/** The hash of the recipe: a changed one makes a new base. */
export const RECIPE_HASH = createHash('sha256')
  .update(JSON.stringify([PACKAGES, EXCLUDED, DEBIAN_RELEASE]))
  .digest('hex')
  .slice(0, 12);

/** The name that a base made by {@link buildDebianBase} has. */
export function debianBaseTag(release: string): string {
  return `glovebox-base:${release}-${RECIPE_HASH}`;
}

/**
 * The sources to build a base from: Debian's `trixie` from the mirrors that apt uses for the host's own Debian
 * release, or the host's own release on an Ubuntu whose Python is new enough.
 * @param targets - output of `apt-get indextargets`, in the format that {@link readPackageSource} asks for
 * @returns undefined when neither can be had.
 */
export function choosePackageSource(os: OsRelease, targets: string): PackageSource | undefined {
  const isUbuntu = os.id === 'ubuntu';
  if (isUbuntu && Number.parseFloat(os.versionId) < 24.04) return undefined;
  const release = isUbuntu ? os.codename : DEBIAN_RELEASE;
  const components = isUbuntu ? ['main', 'universe'] : ['main'];
  const sources = new Map<string, Set<string>>();
  for (const line of targets.split('\n')) {
    const [createdBy, uri, suite = '', component = ''] = line.trim().split(' ');
    const pocket = /^(-updates|-security|)$/.exec(suite.slice(os.codename.length))?.[0];
    if (createdBy !== 'Packages' || !suite.startsWith(os.codename) || pocket === undefined) continue;
    if (!components.includes(component)) continue;
    const source = `deb ${uri} ${release}${pocket}`;
    sources.set(source, (sources.get(source) ?? new Set()).add(component));
  }
  if (![...sources.keys()].some((source) => source.endsWith(` ${release}`))) return undefined;
  return { release, sources: [...sources].map(([source, names]) => `${source} ${[...names].join(' ')}`) };
}

export async function readPackageSource(os: OsRelease, signal?: AbortSignal): Promise<PackageSource | undefined> {
  const format = '$(CREATED_BY) $(REPO_URI) $(RELEASE) $(COMPONENT)';
  const { stdout } = await runCommand('apt-get', ['indextargets', '--format', format], { signal });
  return choosePackageSource(os, stdout);
}

/**
 * Makes a base image of distribution packages and imports it under `tag`.
 * Needs `mmdebstrap` and root. @throws Error with the last lines of its output.
 */
export async function buildDebianBase(
  docker: Dockerode,
  source: PackageSource,
  tag: string,
  report: Report,
  signal?: AbortSignal,
): Promise<void> {
  const told = withoutRepeats(report);
  const child = spawn('mmdebstrap', await mmdebstrapArguments(source, signal), {
    stdio: ['pipe', 'pipe', 'pipe'],
    ...(signal ? { signal } : {}),
  });
  // One that ends early does not read its input; its exit code says so.
  child.stdin.on('error', () => {});
  child.stdin.end(`${source.sources.join('\n')}\n`);
  const stderr = collect(child.stderr);
  createInterface({ input: child.stderr }).on('line', (line) => {
    const step = /^I: ((?:running apt|downloading|extracting|installing|creating).*?)\.*$/.exec(line)?.[1];
    if (step) told(`Making a base image from ${source.release} packages: ${step}`);
  });
  const exited = waitForExit(child, stderr);
  // Both are awaited, so that neither outlives this call; of a truncated archive an image may be made all the same.
  const [code, imported] = await Promise.all([exited, importArchive(docker, child.stdout, signal)]);
  if (code === 0 && imported.id !== undefined) {
    const [repo = '', label = ''] = tag.split(':');
    await docker.getImage(imported.id).tag({ repo, tag: label });
    return;
  }
  if (imported.id !== undefined) await docker.getImage(imported.id).remove();
  signal?.throwIfAborted();
  const reason = code === 0 ? String(imported.error) : lastLines(stderr.join(''));
  throw new Error(`mmdebstrap could not make a base image of ${source.release} packages.\n${reason}`);
}

/** The id of the image that the engine makes of an archive, or why it made none. */
async function importArchive(
  docker: Dockerode,
  archive: NodeJS.ReadableStream,
  signal?: AbortSignal,
): Promise<{ id?: string; error?: unknown }> {
  try {
    const body = await docker.importImage(archive, signal ? { abortSignal: signal } : {});
    let id: string | undefined;
    for await (const { status } of readProgress(body)) id = status;
    return id === undefined ? { error: 'the engine named no image' } : { id };
  } catch (error) {
    return { error };
  }
}

async function mmdebstrapArguments({ release }: PackageSource, signal?: AbortSignal): Promise<string[]> {
  const clean = 'rm -rf "$1"/etc/apt/sources.list* "$1"/etc/apt/apt.conf.d/99mmdebstrap "$1"/var/log/*';
  return [
    '--variant=minbase',
    '--mode=root',
    `--include=${PACKAGES.join(',')}`,
    ...EXCLUDED.map((path) => `--dpkgopt=path-exclude=${path}`),
    '--dpkgopt=path-include=/usr/share/doc/*/copyright',
    ...(await readAptSettings(signal)).map((setting) => `--aptopt=${setting}`),
    // Mirrors and proxies may have credentials in them.
    `--customize-hook=${clean}`,
    '--format=tar',
    release,
    '-',
    '-',
  ];
}

/** How apt reaches its mirrors from here: proxies and certificates, which mmdebstrap does not read by itself. */
async function readAptSettings(signal?: AbortSignal): Promise<string[]> {
  const { stdout } = await runCommand('apt-config', ['dump', '--no-empty'], { signal });
  return stdout.split('\n').filter((line) => /^Acquire::(https?|Retries)\b/.test(line));
}
