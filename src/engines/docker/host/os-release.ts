import { readFile } from 'node:fs/promises';

/** Name and version of a Linux distribution. */
export interface OsRelease {
  readonly id: string;
  readonly like: string;
  readonly versionId: string;
  readonly codename: string;
  readonly name: string;
}

/** Parses an os-release file. */
export function parseOsRelease(text: string): OsRelease {
  const values = new Map(
    text.split('\n').map((line) => {
      const equals = line.indexOf('=');
      return [line.slice(0, equals), line.slice(equals + 1).replace(/^(["'])(.*)\1$/, '$2')] as const;
    }),
  );
  const read = (name: string) => values.get(name) ?? '';
  return {
    id: read('ID'),
    like: read('ID_LIKE'),
    versionId: read('VERSION_ID'),
    codename: read('VERSION_CODENAME'),
    name: read('PRETTY_NAME') || read('ID'),
  };
}

/** Reads the os-release file of this host. Undefined if there is none. */
export async function readOsRelease(): Promise<OsRelease | undefined> {
  for (const path of ['/etc/os-release', '/usr/lib/os-release']) {
    try {
      return parseOsRelease(await readFile(path, 'utf8'));
    } catch {
      // Some distributions have it in only one place, or not at all.
    }
  }
  return undefined;
}

export function isDebianLike({ id, like }: OsRelease): boolean {
  return [id, ...like.split(' ')].some((name) => name === 'debian' || name === 'ubuntu');
}
