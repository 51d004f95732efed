import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runCommand } from '../../src/lib/run-command.ts';

const SOURCES = fileURLToPath(new URL('program', import.meta.url));
const CACHE_DIR = join(homedir(), '.cache', 'glovebox-kubernetes');
/** Runs Go also from where its own archives put it, which the PATH of a service often lacks. */
const GO = ['sh', '-c', 'PATH="$PATH:/usr/local/go/bin" exec "$@"', 'sh', 'go'];
/** Compilers at once: each needs up to 2 GB. */
const COMPILERS = 2;

/**
 * Returns the path of the program that has all parts of Kubernetes and etcd. It is built once, by the Go of this machine:
 * 15 minutes of processor time where Go has none of it compiled yet.
 * @throws Error when it cannot be built
 */
export async function ensureProgram(report: (line: string) => void, signal?: AbortSignal): Promise<string> {
  const folder = join(CACHE_DIR, await hashSources());
  const program = join(folder, 'kube');
  if (existsSync(program)) return program;
  report('Building Kubernetes by Go, once; this takes up to eight minutes …');
  const unfinished = `${folder}.${process.pid}`;
  mkdirSync(unfinished, { recursive: true });
  try {
    await build(join(unfinished, 'kube'), signal);
    renameSync(unfinished, folder);
  } catch (error) {
    // Another run may have been faster.
    if (!existsSync(program)) throw error;
  } finally {
    rmSync(unfinished, { recursive: true, force: true });
  }
  return program;
}

async function build(target: string, signal?: AbortSignal): Promise<void> {
  const flags = linkerFlags(readFileSync(join(SOURCES, 'go.mod'), 'utf8'));
  const go = [
    ...GO,
    'build',
    '-C',
    SOURCES,
    '-p',
    String(COMPILERS),
    '-trimpath',
    '-ldflags',
    flags,
    '-o',
    target,
    '.',
  ];
  const settings = ['CGO_ENABLED=0', 'GOFLAGS=', 'GOTOOLCHAIN=local', 'GOWORK=off'];
  const { code, stderr } = await runCommand('nice', ['-n', '19', 'env', ...settings, ...go], { signal });
  if (code !== 0) throw new Error(`Go could not build Kubernetes.\n${stderr.slice(-2000)}`);
}

/** Without its version, the API server says that it is 0.0, and refuses what it knows well. */
export function linkerFlags(goMod: string): string {
  const version = /^\s*(?:require )?k8s\.io\/kubernetes (v1\.(\d+)\.\d+)$/m.exec(goMod);
  if (!version) throw new Error('go.mod names no version of k8s.io/kubernetes.');
  const [, full, minor] = version;
  const of = 'k8s.io/component-base/version';
  const values = [`${of}.gitVersion=${full}`, `${of}.gitMajor=1`, `${of}.gitMinor=${minor}`];
  return [
    '-s',
    '-w',
    ...[...values, `k8s.io/client-go/pkg/version.gitVersion=${full}`].map((value) => `-X ${value}`),
  ].join(' ');
}

async function hashSources(): Promise<string> {
  const { code, stdout, stderr } = await runCommand('env', [...GO, 'env', 'GOVERSION']);
  if (code !== 0)
    throw new Error(`The lab needs Go, to build Kubernetes (golang-go of Debian, or newer): ${stderr.trim()}`);
  const hash = createHash('sha256').update(stdout);
  for (const name of readdirSync(SOURCES).toSorted()) hash.update(name).update(readFileSync(join(SOURCES, name)));
  return hash.digest('hex').slice(0, 12);
}
