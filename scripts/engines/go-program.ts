import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { runCommand } from '../../src/lib/run-command.ts';
import { CACHE_DIR } from './roots.ts';

/** A program that Go builds from a published module, where no release of Debian has it. */
export interface GoProgram {
  /** Path of the package, as `go install` takes it. */
  readonly path: string;
  /** Version of its module. */
  readonly version: string;
  /** Build tags. */
  readonly tags: readonly string[];
}

/** The repository that a program is from, and its version. */
export function describeProgram({ path, version }: GoProgram): string {
  const repository = path.split('/').find((part) => part === 'moby' || part === 'gvisor') ?? basename(path);
  return `${repository} ${version}`;
}

/**
 * Returns the path of a program. It is built once, with the Go and the C compiler of this machine, which takes minutes.
 * @throws Error when it cannot be built
 */
export async function ensureGoProgram(
  program: GoProgram,
  report: (line: string) => void,
  signal: AbortSignal,
): Promise<string> {
  const { path, version, tags } = program;
  const name = basename(path);
  const folder = join(
    CACHE_DIR,
    `${name}-${createHash('sha256').update(JSON.stringify(program)).digest('hex').slice(0, 12)}`,
  );
  if (existsSync(folder)) return join(folder, name);
  report(`Building ${path} ${version} by Go …`);
  const unfinished = `${folder}.${process.pid}`;
  mkdirSync(unfinished, { recursive: true });
  const settings = [`GOBIN=${unfinished}`, 'GOFLAGS=', 'CGO_ENABLED=1'];
  const options = ['-trimpath', '-ldflags=-s -w', `-tags=${tags.join(' ')}`];
  try {
    const command = ['env', ...settings, 'go', 'install', ...options, `${path}@${version}`];
    const { code, stderr } = await runCommand('nice', ['-n', '19', ...command], { signal });
    if (code !== 0) throw new Error(`Go could not build ${path}.\n${stderr.slice(-2000)}`);
    renameSync(unfinished, folder);
  } finally {
    rmSync(unfinished, { recursive: true, force: true });
  }
  return join(folder, name);
}
