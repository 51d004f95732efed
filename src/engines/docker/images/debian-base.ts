import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type Dockerode from 'dockerode';
import { collect, runCommand, waitForExit } from '../../../lib/run-command.ts';
import type { OsRelease } from '../host/os-release.ts';
import { lastLines, type Report, readProgress, withoutRepeats } from '../host/progress.ts';
import { PYTHON_VERSIONS } from './base-python.ts';

/** How a base image is built from distribution packages. */
export interface BaseRecipe {
  /** Reference of the image that it replaces. */
  readonly replaces: string;
  /** Part of the hint when neither image is available: which other images can be used. */
  readonly instead: string;
  readonly repository: string;
  readonly packages: readonly string[];
  /** Further inputs, such as versions. The hash of the recipe includes them. */
  readonly facts?: readonly string[];
  /** Fills a folder with the contents of `/usr/local`. @throws Error when they are not available */
  readonly addLocal?: (directory: string, signal?: AbortSignal) => Promise<void>;
}

/** Recipe that replaces python:3.13-slim: the packages that it has besides a minimal Debian. */
export const PYTHON_BASE: BaseRecipe = {
  replaces: 'python:3.13-slim',
  instead: `one with Python ${PYTHON_VERSIONS}: GLOVEBOX_BASE=registry.example/python:3.13-slim`,
  repository: 'glovebox-base',
  packages: ['python3', 'python3-pip', 'python3-venv', 'ca-certificates', 'netbase', 'tzdata'],
};

/** Paths that are not unpacked. They are half of all bytes, and no program reads them. */
const EXCLUDED = ['/usr/share/man/*', '/usr/share/doc/*', '/usr/share/info/*', '/usr/share/locale/*'];
const DEBIAN_RELEASE = 'trixie';

/** Sources of distribution packages, from the configuration of apt on this host. */
export interface PackageSource {
  readonly release: string;
  /** Lines of a sources.list. */
  readonly sources: readonly string[];
}

/** Hash of a recipe, so that a changed recipe makes a new image. */
export function hashRecipe({ packages, facts = [] }: BaseRecipe): string {
  return createHash('sha256')
    .update(JSON.stringify([packages, EXCLUDED, DEBIAN_RELEASE, ...facts]))
    .digest('hex')
    .slice(0, 12);
}

/** The tag of a base image that {@link buildDebianBase} makes. */
export function debianBaseTag(recipe: BaseRecipe, release: string): string {
  return `${recipe.repository}:${release}-${hashRecipe(recipe)}`;
}

/**
 * Chooses the sources to build a base image from: Debian's `trixie` from the mirrors that apt uses on a Debian host, or
 * the release of an Ubuntu host if its Python is new enough.
 * @param targets output of `apt-get indextargets`, in the format that {@link readPackageSource} uses
 * @param isFrozen whether the given entry of a sources.list makes apt accept an expired mirror
 * @returns undefined when there is no suitable source
 */
export function choosePackageSource(
  os: OsRelease,
  targets: string,
  isFrozen: (entry: string) => boolean = () => false,
): PackageSource | undefined {
  const isUbuntu = os.id === 'ubuntu';
  if (isUbuntu && Number.parseFloat(os.versionId) < 24.04) return undefined;
  const release = isUbuntu ? os.codename : DEBIAN_RELEASE;
  const components = isUbuntu ? ['main', 'universe'] : ['main'];
  const sources = new Map<string, Set<string>>();
  for (const line of targets.split('\n')) {
    const [createdBy, uri, suite = '', component = '', entry = ''] = line.trim().split(' ');
    const pocket = /^(-updates|-security|)$/.exec(suite.slice(os.codename.length))?.[0];
    if (createdBy !== 'Packages' || !suite.startsWith(os.codename) || pocket === undefined) continue;
    if (!components.includes(component)) continue;
    const source = `deb ${isFrozen(entry) ? '[check-valid-until=no] ' : ''}${uri} ${release}${pocket}`;
    sources.set(source, (sources.get(source) ?? new Set()).add(component));
  }
  if (![...sources.keys()].some((source) => source.endsWith(` ${release}`))) return undefined;
  return { release, sources: [...sources].map(([source, names]) => `${source} ${[...names].join(' ')}`) };
}

/** Reads the package sources of apt on this host. Undefined when there is no suitable one. */
export async function readPackageSource(os: OsRelease, signal?: AbortSignal): Promise<PackageSource | undefined> {
  const format = '$(CREATED_BY) $(REPO_URI) $(RELEASE) $(COMPONENT) $(SOURCESENTRY)';
  const { stdout } = await runCommand('apt-get', ['indextargets', '--format', format], { signal });
  return choosePackageSource(os, stdout, isFrozenEntry);
}

/** Whether an entry such as `/etc/apt/sources.list.d/debian.sources:2` is frozen. The number is a line or a stanza. */
function isFrozenEntry(entry: string): boolean {
  const [, path = '', number = ''] = /^(\/.*):(\d+)$/.exec(entry) ?? [];
  try {
    return path !== '' && allowsExpired(readFileSync(path, 'utf8'), Number(number), path.endsWith('.sources'));
  } catch {
    // If the file cannot be read, apt's general settings apply.
    return false;
  }
}

/** Whether an entry of a sources.list makes apt accept a Release file after its Valid-Until (sources.list(5)). */
export function allowsExpired(text: string, number: number, isDeb822: boolean): boolean {
  const entries = isDeb822
    ? text
        .replace(/^#.*\n?/gm, '')
        .split(/\n\s*\n/)
        .filter((stanza) => stanza.trim() !== '')
    : text.split('\n');
  const pattern = isDeb822 ? /^check-valid-until:\s*(\S+)/im : /^\s*deb\s+\[[^\]]*\bcheck-valid-until=(\w+)/i;
  const value = pattern.exec(entries[number - 1] ?? '')?.[1]?.toLowerCase();
  return value !== undefined && ['no', 'false', 'without', 'off', 'disable', '0'].includes(value);
}

/**
 * Builds a base image from distribution packages, imports it into the engine, and returns its tag. Needs `mmdebstrap`
 * and root.
 * @throws Error with the last lines of the output of mmdebstrap
 */
export async function buildDebianBase(
  docker: Dockerode,
  source: PackageSource,
  recipe: BaseRecipe,
  report: Report,
  signal?: AbortSignal,
): Promise<string> {
  const local = mkdtempSync(join(tmpdir(), 'glovebox-base-'));
  try {
    await recipe.addLocal?.(local, signal);
    const tag = debianBaseTag(recipe, source.release);
    const args = await mmdebstrapArguments(source, recipe, local, signal);
    await importBase(docker, source, args, tag, report, signal);
    return tag;
  } finally {
    rmSync(local, { recursive: true, force: true });
  }
}

async function importBase(
  docker: Dockerode,
  source: PackageSource,
  args: readonly string[],
  tag: string,
  report: Report,
  signal?: AbortSignal,
): Promise<void> {
  const reportOnce = withoutRepeats(report);
  const child = spawn('mmdebstrap', args, {
    stdio: ['pipe', 'pipe', 'pipe'],
    ...(signal ? { signal } : {}),
  });
  // If the process ends early, it does not read its input. The exit code reports the failure.
  child.stdin.on('error', () => {});
  child.stdin.end(`${source.sources.join('\n')}\n`);
  const stderr = collect(child.stderr);
  createInterface({ input: child.stderr }).on('line', (line) => {
    const step = /^I: ((?:running apt|downloading|extracting|installing|creating).*?)\.*$/.exec(line)?.[1];
    if (step) reportOnce(`Making a base image from ${source.release} packages: ${step}`);
  });
  const exited = waitForExit(child, stderr);
  // Both are awaited, so that neither outlives this call. The engine may make an image even of a truncated archive.
  const [code, imported] = await Promise.all([exited, importArchive(docker, child.stdout, signal)]);
  if (code === 0 && imported.id !== undefined) {
    const [repo = '', label = ''] = tag.split(':');
    await docker.getImage(imported.id).tag({ repo, tag: label });
    return;
  }
  if (imported.id !== undefined) await docker.getImage(imported.id).remove();
  signal?.throwIfAborted();
  const reason = code === 0 ? String(imported.error) : lastLines(stderr.join(''));
  throw new Error(`mmdebstrap could not build a base image from ${source.release} packages.\n${reason}`);
}

/** Imports an archive as an image. Returns the id of the image, or the error. */
async function importArchive(
  docker: Dockerode,
  archive: NodeJS.ReadableStream,
  signal?: AbortSignal,
): Promise<{ id?: string; error?: unknown }> {
  try {
    const body = await docker.importImage(archive, signal ? { abortSignal: signal } : {});
    let id: string | undefined;
    for await (const { status } of readProgress(body)) id = status;
    return id === undefined ? { error: 'the engine returned no image id' } : { id };
  } catch (error) {
    return { error };
  }
}

async function mmdebstrapArguments(
  { release }: PackageSource,
  { packages, addLocal }: BaseRecipe,
  local: string,
  signal?: AbortSignal,
): Promise<string[]> {
  const clean = 'rm -rf "$1"/etc/apt/sources.list* "$1"/etc/apt/apt.conf.d/99mmdebstrap "$1"/var/log/*';
  return [
    '--variant=minbase',
    '--mode=root',
    `--include=${packages.join(',')}`,
    ...EXCLUDED.map((path) => `--dpkgopt=path-exclude=${path}`),
    '--dpkgopt=path-include=/usr/share/doc/*/copyright',
    ...(await readAptSettings(signal)).map((setting) => `--aptopt=${setting}`),
    ...(addLocal ? [`--customize-hook=sync-in ${local} /usr/local`] : []),
    // The addresses of mirrors and proxies may contain credentials.
    `--customize-hook=${clean}`,
    '--format=tar',
    release,
    '-',
    '-',
  ];
}

/**
 * Reads the settings by which apt reaches its mirrors, as mmdebstrap does not read them itself: proxies, certificates,
 * and whether an expired mirror (a snapshot) is accepted.
 */
export async function readAptSettings(signal?: AbortSignal): Promise<string[]> {
  const { stdout } = await runCommand('apt-config', ['dump', '--no-empty'], { signal });
  return chooseAptSettings(stdout);
}

/** Chooses these settings from the output of `apt-config dump`. */
export function chooseAptSettings(dump: string): string[] {
  const names = /^Acquire::(https?|Retries|Check-Valid-Until|Check-Date|Max-FutureTime|(Min|Max)-ValidTime)\b/;
  return dump.split('\n').filter((line) => names.test(line));
}
