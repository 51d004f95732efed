import { join } from 'node:path';
import type { Log } from '../log.ts';
import type { RunnerConfiguration } from '../protocol/channel.ts';
import { Preloads } from './preloads.ts';
import { UsageFile } from './usage-file.ts';

export interface PreloadSettings {
  readonly preload: RunnerConfiguration['preload'];
  /** Memory in MiB for modules that sandboxes load because other sessions used them. */
  readonly preloadMb: number;
}

/**
 * Returns what has sandboxes load what sessions of an image used of late, and the file that keeps that for the next run.
 * Undefined if a setting forbids it.
 */
export function openPreloads(
  directory: string,
  image: string,
  { preload, preloadMb }: PreloadSettings,
  { log, isBusy }: { readonly log: Log; readonly isBusy: () => boolean },
): { readonly preloads: Preloads; readonly file: UsageFile } | undefined {
  if (preload !== 'adaptive' || preloadMb === 0) return undefined;
  const file = new UsageFile(join(directory, 'usage', 'modules.json'), image, log);
  const preloads = new Preloads({
    usage: file.usage,
    limitBytes: preloadMb * 2 ** 20,
    isBusy,
    onChange: () => file.saveSoon(),
  });
  return { preloads, file };
}
