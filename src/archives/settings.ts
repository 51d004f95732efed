import { Registry } from 'prom-client';
import type { Log } from '../log.ts';
import { Limiter } from '../scheduling/limiter.ts';
import { ArchiveMetrics } from './archive-metrics.ts';
import type { ArchiveFiles } from './files/archive-files.ts';
import type { ArchiveRecord } from './record.ts';
import { ArchiveStore } from './store.ts';

const MIB = 1024 * 1024;
/** Number of sessions that hibernate at once. */
const AT_ONCE = 4;
const WAITING = 1000;
/** Shortest time between two removals of what ended control planes have left, in milliseconds. */
const SWEEP_MS = 3_600_000;

/** Time limit of a save, in milliseconds, with more for large disks. The session's own code may delay it. */
const SAVE_LIMIT_MS = 60_000;
const SAVE_LIMIT_MS_PER_MB = 100;

export interface ArchiveBounds {
  readonly diskMb: number;
  readonly idleTtlS: number;
  /** Seconds after which an unused session is hibernated; 0 for never. */
  readonly hibernateAfterS: number;
  /** Seconds for which the archive of an unused session is kept. */
  readonly archiveTtlS: number;
  /** Seconds after an execution within which a checkpoint contains its files; 0 for never. */
  readonly checkpointAfterS: number;
  /** Size of all archives together, in MiB. */
  readonly archiveMb: number;
}

export interface ArchiveFigures {
  readonly bytes: number;
  readonly limitBytes: number;
}

/** Settings and store for the archives of all sessions. */
export class ArchiveSettings {
  readonly store: ArchiveStore;
  readonly limits: ArchiveBounds;
  readonly log: Log;
  readonly metrics: ArchiveMetrics;
  /** Places for sessions that hibernate. */
  readonly hibernating = new Limiter(AT_ONCE, WAITING);

  readonly #files: ArchiveFiles;
  readonly #sweeps: NodeJS.Timeout;

  constructor(files: ArchiveFiles, limits: ArchiveBounds, log: Log, registry = new Registry()) {
    this.#files = files;
    this.store = new ArchiveStore(files, limits.archiveMb * MIB);
    this.limits = limits;
    this.log = log;
    this.metrics = new ArchiveMetrics(registry);
    // Several control planes that begin at the same time do not sweep at the same time.
    const everyMs = SWEEP_MS * (1 + Math.random());
    this.#sweeps = setInterval(() => void this.#sweep(), everyMs);
    this.#sweeps.unref();
  }

  async close(): Promise<void> {
    clearInterval(this.#sweeps);
    await this.#files.close();
  }

  /** Size of all archives, and the limit, in bytes. */
  get figures(): ArchiveFigures {
    return { bytes: this.store.usedBytes, limitBytes: this.limits.archiveMb * MIB };
  }

  get saveLimitMs(): number {
    return SAVE_LIMIT_MS + this.limits.diskMb * SAVE_LIMIT_MS_PER_MB;
  }

  /** What fails at the storage of archives now, as far as requests have shown, for `GET /health`. */
  get health() {
    const { trouble } = this.#files;
    return trouble === undefined ? {} : { archives: trouble.toBody() };
  }

  /** Whether idle sessions are hibernated. If a session expires before that, it is closed instead. */
  get hibernates(): boolean {
    const { hibernateAfterS, idleTtlS } = this.limits;
    return hibernateAfterS > 0 && hibernateAfterS < idleTtlS;
  }

  /** Returns when an unused archive is removed. An empty archive is kept no longer than an idle session. */
  expiryOf({ saved_at, entries }: ArchiveRecord): Date {
    const { archiveTtlS, idleTtlS } = this.limits;
    return new Date(Date.parse(saved_at) + (entries === 0 ? idleTtlS : archiveTtlS) * 1000);
  }

  async #sweep(): Promise<void> {
    await this.#files.sweep().catch((error: unknown) => {
      this.log.warn('what is left of archives could not be removed', { error });
    });
  }
}
