import type Dockerode from 'dockerode';
import { type ProgressEvent, type Report, readProgress, StallGuard, withoutRepeats } from '../host/progress.ts';

/** A registry that says nothing for so long is taken to be out of reach. */
const STALL_LIMIT_MS = 20_000;

/**
 * Pulls `reference`. Rejects with the engine's own error, or when nothing was heard for `stallLimitMs`.
 */
export async function pullImage(
  docker: Dockerode,
  reference: string,
  report: Report,
  signal?: AbortSignal,
  stallLimitMs: number = STALL_LIMIT_MS,
): Promise<void> {
  using guard = new StallGuard(stallLimitMs, signal);
  const told = withoutRepeats(report);
  const layers = new Map<string, { current: number; total: number }>();
  try {
    told(`Pulling ${reference}`);
    const body = await docker.pull(withTag(reference), { abortSignal: guard.signal });
    for await (const event of readProgress(body, guard.touch)) {
      const downloaded = describeDownload(layers, event);
      if (downloaded) told(`Pulling ${reference}: ${downloaded}`);
    }
  } catch (error) {
    signal?.throwIfAborted();
    if (guard.stalled) throw guard.signal.reason;
    throw error;
  }
}

/** Without a tag the engine would pull every tag there is. */
function withTag(reference: string): string {
  return /:[^/]+$|@/.test(reference) ? reference : `${reference}:latest`;
}

/** How much of all layers is here, in steps of ten per cent so that a log of it stays short. */
export function describeDownload(
  layers: Map<string, { current: number; total: number }>,
  { id, status, progressDetail }: ProgressEvent,
): string | undefined {
  if (status !== 'Downloading' || id === undefined || progressDetail?.total === undefined) return undefined;
  layers.set(id, { current: progressDetail.current ?? 0, total: progressDetail.total });
  const all = [...layers.values()];
  const total = all.reduce((sum, layer) => sum + layer.total, 0);
  const current = all.reduce((sum, layer) => sum + layer.current, 0);
  return `${Math.floor((current / total) * 10) * 10}% of ${Math.ceil(total / 1e6)} MB`;
}
