import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const GROUPS = '/sys/fs/cgroup';
const END_LIMIT_MS = 20_000;

/** Makes the control groups that a kubelet makes those of pods in. */
export function createGroups(name: string): void {
  if (existsSync(join(GROUPS, 'cgroup.controllers'))) {
    throw new Error(
      'The lab needs control groups of version 1. Set KUBECONFIG to use a cluster that is there already.',
    );
  }
  for (const parent of hierarchies()) {
    const group = join(parent, name);
    mkdirSync(group, { recursive: true });
    // A new set of processors is empty, and nothing can run in it.
    for (const file of ['cpuset.cpus', 'cpuset.mems']) {
      if (existsSync(join(parent, file))) writeFileSync(join(group, file), readFileSync(join(parent, file)));
    }
  }
}

/** Removes them, and those that a kubelet made besides, once the processes in them have ended. Returns false if some have not. */
export async function removeGroups(name: string): Promise<boolean> {
  const deadline = Date.now() + END_LIMIT_MS;
  while (
    !folders()
      .map((parent) => removeGroup(join(parent, name)))
      .every(Boolean)
  ) {
    if (Date.now() > deadline) return false;
    await sleep(50);
  }
  return true;
}

/** Those of version 1. */
function hierarchies(): string[] {
  return folders().filter((path) => !existsSync(join(path, 'cgroup.controllers')));
}

function folders(): string[] {
  return foldersOf(GROUPS)
    .map((name) => join(GROUPS, name))
    .filter((path) => existsSync(join(path, 'cgroup.procs')));
}

function removeGroup(path: string): boolean {
  if (!existsSync(path)) return true;
  if (
    !foldersOf(path)
      .map((name) => removeGroup(join(path, name)))
      .every(Boolean)
  )
    return false;
  try {
    rmdirSync(path);
    return true;
  } catch {
    return !existsSync(path);
  }
}

/** Folders that disappear meanwhile have none. */
function foldersOf(path: string): string[] {
  try {
    return readdirSync(path, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name);
  } catch {
    return [];
  }
}
