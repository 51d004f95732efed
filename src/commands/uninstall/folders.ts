import { lstatSync, readdirSync, rmdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { cacheHome } from '../../config/host-environment.ts';
import type { Config } from '../../config/load.ts';

/** What Glovebox writes into a state directory. The folder may be one in which others write too. */
const STATE =
  /^(?:id|instances|probes|tool-pins|installed-engine\.txt|(?:keys\.json|secrets\.(?:json|key))(?:\.lock)?|seccomp-[0-9a-f]+\.json)$/;
/** What it writes into a folder for packages. */
const PACKAGES = /^(?:files|metadata|pages|pins|tmp)$/;

/** Part of what is to be removed. */
export interface FolderRemains {
  readonly folder: string;
  /** Its entries that Glovebox has written. */
  readonly entries: readonly string[];
  /** Size of these in bytes. */
  readonly size: number;
}

/** Finds the state directory's own entries. */
export function findState({ stateDir }: Config): FolderRemains {
  return find(stateDir, STATE);
}

/** Finds downloaded packages, and the compiled code of the program. */
export function findCaches({ cacheDir }: Config): FolderRemains[] {
  return [find(cacheDir, PACKAGES), find(join(cacheHome(), 'glovebox'), /^compiled$/)];
}

/** Removes these entries; the folder, and one of ours above it, if nothing is left there. */
export function removeFolder({ folder, entries }: FolderRemains): void {
  for (const name of entries) rmSync(join(folder, name), { recursive: true, force: true });
  removeIfEmpty(folder);
  if (dirname(folder).endsWith('/glovebox')) removeIfEmpty(dirname(folder));
}

function find(folder: string, own: RegExp): FolderRemains {
  const entries = namesIn(folder).filter((name) => own.test(name));
  return { folder, entries, size: entries.reduce((sum, name) => sum + sizeOf(join(folder, name)), 0) };
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** Bytes of a file, or of all files of a folder. Links are not followed. */
function sizeOf(path: string): number {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (!found?.isDirectory()) return found?.size ?? 0;
  return namesIn(path).reduce((sum, name) => sum + sizeOf(join(path, name)), 0);
}

function removeIfEmpty(folder: string): void {
  try {
    rmdirSync(folder);
  } catch {
    // Others have something in it, or it is gone.
  }
}
