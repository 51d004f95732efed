import { isDebianLike, readOsRelease } from '../host/os-release.ts';
import type { ContextFile } from './build-context.ts';
import { chooseAptSettings, type PackageSource, readAptSettings, readPackageSource } from './debian-base.ts';

/**
 * Reads how apt reaches its mirrors on this host, as files of `access/`. They may contain credentials. Both are empty on
 * a host without apt: a build then uses the mirrors that its base names.
 */
export async function readAptAccess(signal?: AbortSignal): Promise<ContextFile[]> {
  const os = await readOsRelease();
  if (!os || !isDebianLike(os)) return describeAptAccess(undefined, []);
  return describeAptAccess(await readPackageSource(os, signal), await readAptSettings(signal));
}

/** Makes the files. Settings that name files of this host, such as certificates, are left out. */
export function describeAptAccess(
  source: Pick<PackageSource, 'sources'> | undefined,
  settings: readonly string[],
): ContextFile[] {
  const portable = chooseAptSettings(settings.join('\n')).filter((line) => !/"\/[^"]*";$/.test(line));
  return [
    { name: 'access/sources.list', content: toFile(source?.sources ?? []) },
    { name: 'access/apt.conf', content: toFile(portable) },
  ];
}

/** Output of `install-tools.sh` that says why an image lacks its tools. Undefined if it does not. */
export function explainMissingTools(output: string): string | undefined {
  return /^WITHOUT TOOLS: (.{1,200})$/m.exec(output)?.[1];
}

function toFile(lines: readonly string[]): Buffer {
  return Buffer.from(lines.map((line) => `${line}\n`).join(''));
}
