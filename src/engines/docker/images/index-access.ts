import { readFile } from 'node:fs/promises';
import { findAuthorities } from '../../../outbound/authorities.ts';
import { readPipSettings } from '../../../packages/index/host-indexes.ts';
import type { ContextFile } from './build-context.ts';

export interface IndexOptions {
  /** Package indexes; by default those that pip uses on this host. */
  readonly indexUrl?: readonly string[] | undefined;
  readonly hostEnvironment: {
    /** Path of a PEM file with the certificate authorities that this host trusts. */
    readonly caFile?: string | undefined;
    readonly proxy: Readonly<Record<string, string>>;
  };
}

/** Reads the settings that pip needs in a build, as files of `access/`. They may contain credentials. */
export async function readIndexAccess(options: IndexOptions, signal?: AbortSignal): Promise<ContextFile[]> {
  const settings = await readPipSettings(signal);
  // Folders and file:// URLs are left out, because a build cannot read them.
  const [first, ...others] = (options.indexUrl ?? []).filter((url) => /^https?:/.test(url));
  if (first) settings.set('index-url', first).set('extra-index-url', others.join(' '));
  return [
    { name: 'access/pip.conf', content: Buffer.from(formatPipConfig(settings)) },
    { name: 'access/ca.crt', content: await readAuthorities(options.hostEnvironment.caFile) },
  ];
}

async function readAuthorities(caFile: string | undefined): Promise<Buffer> {
  const path = findAuthorities(caFile);
  return path ? await readFile(path) : Buffer.alloc(0);
}

/** Formats a pip.conf. The values of a list are on indented lines. */
export function formatPipConfig(settings: ReadonlyMap<string, string>): string {
  const lines = [...settings].map(
    ([name, value]) => `${name.replace(/^default-/, '')} = ${value.trim().split(/\s+/).join('\n    ')}`,
  );
  return `[global]\n${lines.join('\n')}\n`;
}
