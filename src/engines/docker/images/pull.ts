import type Dockerode from 'dockerode';
import { type ProgressEvent, type Report, readProgress, StallGuard, withoutRepeats } from '../host/progress.ts';

/** Time in milliseconds without an answer after which a registry counts as unreachable. */
const STALL_LIMIT_MS = 20_000;

/**
 * Pulls an image. Rejects with the error of the engine, or when nothing arrives for `stallLimitMs` milliseconds.
 */
export async function pullImage(
  docker: Dockerode,
  reference: string,
  report: Report,
  signal?: AbortSignal,
  stallLimitMs: number = STALL_LIMIT_MS,
): Promise<void> {
  using guard = new StallGuard(stallLimitMs, signal);
  const reportOnce = withoutRepeats(report);
  const layers = new Map<string, { current: number; total: number }>();
  try {
    reportOnce(`Pulling ${reference}`);
    const body = await docker.pull(withTag(reference), { abortSignal: guard.signal });
    for await (const event of readProgress(body, guard.touch)) {
      const downloaded = describeDownload(layers, event);
      if (downloaded) reportOnce(`Pulling ${reference}: ${downloaded}`);
    }
  } catch (error) {
    signal?.throwIfAborted();
    if (guard.stalled) throw guard.signal.reason;
    throw error;
  }
}

/** Adds the tag `latest` if there is none. Otherwise the engine would pull all tags. */
function withTag(reference: string): string {
  return /:[^/]+$|@/.test(reference) ? reference : `${reference}:latest`;
}

/** Describes how much of all layers is downloaded, in steps of 10 %, so that the log stays short. */
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
