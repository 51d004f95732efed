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

/** How an image is made of distribution packages. */
export interface BaseRecipe {
  /** The image of a registry that it stands in for. */
  readonly replaces: string;
  /** What to say when neither can be had: which other images would do. */
  readonly instead: string;
  readonly repository: string;
  readonly packages: readonly string[];
  /** What else goes in, in words that change with it. */
  readonly facts?: readonly string[];
  /** Fills a folder, laid out as `/usr/local` is to be. @throws Error when it cannot be had. */
  readonly addLocal?: (directory: string, signal?: AbortSignal) => Promise<void>;
}

/** What python:3.13-slim has besides a minimal Debian, and no more. */
export const PYTHON_BASE: BaseRecipe = {
  replaces: 'python:3.13-slim',
  instead: `one with Python ${PYTHON_VERSIONS}: GLOVEBOX_BASE=registry.example/python:3.13-slim`,
  repository: 'glovebox-base',
  packages: ['python3', 'python3-pip', 'python3-venv', 'ca-certificates', 'netbase', 'tzdata'],
};

/** Left out while unpacking: half of the bytes, none of which a program reads. */
const EXCLUDED = ['/usr/share/man/*', '/usr/share/doc/*', '/usr/share/info/*', '/usr/share/locale/*'];
const DEBIAN_RELEASE = 'trixie';

/** Where a distribution's packages come from, as apt is configured here. */
export interface PackageSource {
  readonly release: string;
  /** Lines of a sources.list. */
  readonly sources: readonly string[];
}

/** Changes with the recipe, so that a changed one makes a new base. */
export function hashRecipe({ packages, facts = [] }: BaseRecipe): string {
  return createHash('sha256')
    .update(JSON.stringify([packages, EXCLUDED, DEBIAN_RELEASE, ...facts]))
    .digest('hex')
    .slice(0, 12);
}

/** The name that a base made by {@link buildDebianBase} has. */
export function debianBaseTag(recipe: BaseRecipe, release: string): string {
  return `${recipe.repository}:${release}-${hashRecipe(recipe)}`;
}

/**
 * The sources to build a base from: Debian's `trixie` from the mirrors that apt uses for the host's own Debian
 * release, or the host's own release on an Ubuntu whose Python is new enough.
 * @param targets - output of `apt-get indextargets`, in the format that {@link readPackageSource} asks for
 * @param isFrozen - whether apt takes a mirror past its time, by the entry of a sources.list that names it
 * @returns undefined when neither can be had.
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

export async function readPackageSource(os: OsRelease, signal?: AbortSignal): Promise<PackageSource | undefined> {
  const format = '$(CREATED_BY) $(REPO_URI) $(RELEASE) $(COMPONENT) $(SOURCESENTRY)';
  const { stdout } = await runCommand('apt-get', ['indextargets', '--format', format], { signal });
  return choosePackageSource(os, stdout, isFrozenEntry);
}

/** Of `/etc/apt/sources.list.d/debian.sources:2`, as apt names entries: by line, or by stanza of a deb822 file. */
function isFrozenEntry(entry: string): boolean {
  const [, path = '', number = ''] = /^(\/.*):(\d+)$/.exec(entry) ?? [];
  try {
    return path !== '' && isTakenPastItsTime(readFileSync(path, 'utf8'), Number(number), path.endsWith('.sources'));
  } catch {
    // Not to be read by us: then apt's own settings decide.
    return false;
  }
}

/** Whether an entry of a sources.list has apt take a Release file whose Valid-Until has passed (sources.list(5)). */
export function isTakenPastItsTime(text: string, number: number, isDeb822: boolean): boolean {
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
 * Makes a base image of distribution packages and imports it; its tag.
 * Needs `mmdebstrap` and root. @throws Error with the last lines of its output.
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
  const told = withoutRepeats(report);
  const child = spawn('mmdebstrap', args, {
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
    // Mirrors and proxies may have credentials in them.
    `--customize-hook=${clean}`,
    '--format=tar',
    release,
    '-',
    '-',
  ];
}

/**
 * How apt reaches its mirrors from here, which mmdebstrap does not read by itself: proxies and certificates, and whether
 * a mirror that stands still (a snapshot) is taken past the time that its Release file names.
 */
async function readAptSettings(signal?: AbortSignal): Promise<string[]> {
  const { stdout } = await runCommand('apt-config', ['dump', '--no-empty'], { signal });
  return chooseAptSettings(stdout);
}

/** Of what `apt-config dump` prints. */
export function chooseAptSettings(dump: string): string[] {
  const names = /^Acquire::(https?|Retries|Check-Valid-Until|Check-Date|Max-FutureTime|(Min|Max)-ValidTime)\b/;
  return dump.split('\n').filter((line) => names.test(line));
}
