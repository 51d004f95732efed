import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { environment } from '../environment.ts';
import { run } from '../programs.ts';

const REPOSITORY = fileURLToPath(new URL('../../', import.meta.url));

/** Another build of Glovebox. Nothing is relied on but its command line: its layout may be another one. */
export interface BuiltRef {
  /** What tables call it: the ref as it was given, with its commit where it does not name that. */
  readonly name: string;
  readonly cli: string;
}

/**
 * Builds a commit of this repository in a folder of its own below the user's cache folder, unless it is there already.
 * @throws Error when there is no such commit, or it does not build
 */
export async function buildRef(ref: string): Promise<BuiltRef> {
  const commit = (await run('git', ['-C', REPOSITORY, 'rev-parse', '--verify', `${ref}^{commit}`])).trim();
  const parent = join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'glovebox-bench');
  const folder = join(parent, commit);
  if (!existsSync(folder)) await build(commit, parent, folder);
  return { name: nameOf(ref, commit), cli: join(folder, 'dist', 'cli.js') };
}

/** `142dfec` for a part of the hash, `main (142dfec)` for a branch that may move on. */
export function nameOf(ref: string, commit: string): string {
  return commit.startsWith(ref) ? ref : `${ref} (${commit.slice(0, 7)})`;
}

/** The folder gets its name when all is in it, so one that is there is whole. */
async function build(commit: string, parent: string, folder: string): Promise<void> {
  process.stderr.write(`Building ${commit} in ${folder} …\n`);
  mkdirSync(parent, { recursive: true });
  const made = mkdtempSync(join(parent, 'new-'));
  try {
    const archive = join(made, '.archive.tar');
    await run('git', ['-C', REPOSITORY, 'archive', '--format=tar', `--output=${archive}`, commit]);
    await run('tar', ['-xf', archive, '-C', made]);
    rmSync(archive);
    // Installs what its lockfile names, and compiles.
    await run('npm', ['--prefix', made, 'run', 'setup'], withoutNpm(environment()));
    if (!existsSync(join(made, 'dist', 'cli.js'))) throw new Error(`${commit} builds no dist/cli.js.`);
    renameSync(made, folder);
  } catch (error) {
    // Another run may have been faster; then the folder is there, and cannot be replaced.
    if (!existsSync(join(folder, 'dist', 'cli.js'))) throw error;
  } finally {
    rmSync(made, { recursive: true, force: true });
  }
}

/** What npm tells the scripts that it runs is about this package; the npm of another one must not take it for its own. */
function withoutNpm(env: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(env).filter(([name]) => !/^npm_(package|lifecycle|config_(local_)?prefix)/.test(name)),
  );
}
