/** Builds programs in Go that the tests and scripts need, once, into the cache folder of the user. */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { runCommand } from '../src/lib/run-command.ts';

/** Runs Go also from where its own archives put it, which the PATH of a service often lacks. */
const GO = ['sh', '-c', 'PATH="$PATH:/usr/local/go/bin" exec "$@"', 'sh', 'go'];
const SETTINGS = ['CGO_ENABLED=0', 'GOFLAGS=', 'GOTOOLCHAIN=local', 'GOWORK=off'];
/** Compilers at once: each needs up to 2 GB. */
const COMPILERS = 2;

export interface GoProgram {
  /** What it is, for messages: `Kubernetes`. */
  readonly title: string;
  /** Name of its file. */
  readonly name: string;
  /** Folder of its module: `go.mod` and `go.sum`, which pin all that it is built from, and its own source. */
  readonly sources: string;
  /** Folder in the user's cache. It has a folder for each version of the sources and of Go. */
  readonly cache: string;
  /** How long the build takes where Go has none of it compiled yet, for messages. */
  readonly takes: string;
  /** Flags of the linker besides those that leave out symbols. */
  readonly linkerFlags?: readonly string[];
}

/**
 * Returns the path of a program, which is built by the Go of this machine unless that is done already.
 * @throws Error when it cannot be built
 */
export async function ensureGoProgram(
  program: GoProgram,
  report: (line: string) => void,
  signal?: AbortSignal,
): Promise<string> {
  const { title, name, cache, takes } = program;
  const folder = join(homedir(), '.cache', cache, await hashSources(program));
  const path = join(folder, name);
  if (existsSync(path)) return path;
  report(`Building ${title} by Go, once; this takes up to ${takes} …`);
  const unfinished = `${path}.${process.pid}`;
  mkdirSync(folder, { recursive: true });
  try {
    await build(program, path, unfinished, signal);
    // Not there if another run has built it meanwhile.
    if (existsSync(unfinished)) renameSync(unfinished, path);
  } finally {
    rmSync(unfinished, { force: true });
  }
  return path;
}

/** Builds a program. Runs that come at once wait for the first: each would compile everything. */
async function build(
  { title, sources, linkerFlags = [] }: GoProgram,
  path: string,
  target: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const flags = ['-p', String(COMPILERS), '-trimpath', '-ldflags', ['-s', '-w', ...linkerFlags].join(' ')];
  const go = [...GO, 'build', '-C', sources, ...flags, '-o', target, '.'];
  const once = ['flock', '--no-fork', `${path}.lock`, 'sh', '-c', '[ -e "$0" ] || exec "$@"', path];
  const { code, stderr } = await runCommand('nice', ['-n', '19', ...once, 'env', ...SETTINGS, ...go], { signal });
  if (code !== 0) throw new Error(`Go could not build ${title}.\n${stderr.slice(-2000)}`);
}

async function hashSources({ title, sources }: GoProgram): Promise<string> {
  const { code, stdout, stderr } = await runCommand('env', [...GO, 'env', 'GOVERSION']);
  if (code !== 0) throw new Error(`Go is needed to build ${title} (golang-go of Debian, or newer): ${stderr.trim()}`);
  const hash = createHash('sha256').update(stdout);
  for (const name of readdirSync(sources).toSorted()) hash.update(name).update(readFileSync(join(sources, name)));
  return hash.digest('hex').slice(0, 12);
}
