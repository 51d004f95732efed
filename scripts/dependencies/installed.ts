import { lstatSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Use } from './policy.ts';

/** One package of the lockfile. */
export interface InstalledPackage {
  readonly name: string;
  readonly version: string;
  /** Its folder, such as `node_modules/hono`. */
  readonly path: string;
  readonly use: Use;
  /** False for a package that this platform leaves out. */
  readonly isInstalled: boolean;
  /** An SPDX expression; undefined when the package names none. */
  readonly licence: string | undefined;
  readonly hasInstallScript: boolean;
}

interface LockedPackage {
  readonly version?: string;
  readonly dev?: boolean;
  readonly license?: string;
  readonly hasInstallScript?: boolean;
}

interface Manifest {
  readonly license?: string | { readonly type?: string };
  /** The form of before 2014, which old packages still have. */
  readonly licenses?: readonly { readonly type?: string }[];
  readonly scripts?: Readonly<Record<string, string>>;
}

const INSTALL_SCRIPTS = ['preinstall', 'install', 'postinstall'];

/** Reads the lockfile of the project in `root`, and what the installed packages say of themselves. */
export function readPackages(root: string): InstalledPackage[] {
  const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));
  const locked = Object.entries<LockedPackage>(lock.packages).filter(([path]) => path !== '');
  return locked.map(([path, entry]) => {
    const manifest = readManifest(join(root, path));
    return {
      name: path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length),
      version: entry.version ?? '',
      path,
      use: entry.dev ? 'development' : 'runtime',
      isInstalled: manifest !== undefined,
      licence: entry.license ?? licenceOf(manifest ?? {}),
      hasInstallScript: entry.hasInstallScript === true || INSTALL_SCRIPTS.some((name) => manifest?.scripts?.[name]),
    };
  });
}

function readManifest(directory: string): Manifest | undefined {
  try {
    return JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8'));
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

function licenceOf({ license, licenses = [] }: Manifest): string | undefined {
  if (typeof license === 'string') return license;
  const types = license?.type === undefined ? licenses.map(({ type }) => type) : [license.type];
  return types.every((type) => type !== undefined) && types.length > 0 ? types.join(' OR ') : undefined;
}

/** Bytes of the files of these packages, as far as they are installed. */
export function sizeOf(root: string, packages: readonly InstalledPackage[]): number {
  return packages.reduce((sum, { path }) => sum + sizeOfFolder(join(root, path)), 0);
}

/** Packages within a package are packages of their own. */
function sizeOfFolder(directory: string): number {
  let bytes = 0;
  for (const entry of readFolder(directory)) {
    const path = join(directory, entry.name);
    if (entry.isFile()) bytes += lstatSync(path).size;
    else if (entry.isDirectory() && entry.name !== 'node_modules') bytes += sizeOfFolder(path);
  }
  return bytes;
}

function readFolder(directory: string) {
  try {
    return readdirSync(directory, { withFileTypes: true });
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
    throw error;
  }
}
