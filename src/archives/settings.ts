import { join } from 'node:path';
import type { Log } from '../log.ts';
import { Limiter } from '../scheduling/limiter.ts';
import type { ArchiveRecord } from './record.ts';
import { ArchiveStore } from './store.ts';

const MIB = 1024 * 1024;
/** Sessions that hibernate at once, and those that may wait for it: the next look finds the others. */
const AT_ONCE = 4;
const WAITING = 1000;

export interface ArchiveBounds {
  readonly diskMb: number;
  readonly idleTtlS: number;
  /** Seconds after which an unused session becomes an archive; 0 for never. */
  readonly hibernateAfterS: number;
  /** Seconds that the archive of a session is kept if nobody uses it. */
  readonly archiveTtlS: number;
  /** Seconds after an execution until its files are in a checkpoint; 0 for never. */
  readonly checkpointAfterS: number;
  /** MiB of all archives together. */
  readonly archiveMb: number;
}

/** What sessions have in common when they are archived. */
export class ArchiveSettings {
  readonly store: ArchiveStore;
  readonly limits: ArchiveBounds;
  readonly log: Log;
  /** Places for sessions that hibernate. */
  readonly hibernating = new Limiter(AT_ONCE, WAITING);

  constructor(directory: string, limits: ArchiveBounds, log: Log) {
    this.store = new ArchiveStore(join(directory, 'archives'), limits.archiveMb * MIB);
    this.limits = limits;
    this.log = log;
  }

  /** Whether idle sessions become archives at all. One that ends before it could is closed. */
  get hibernates(): boolean {
    const { hibernateAfterS, idleTtlS } = this.limits;
    return hibernateAfterS > 0 && hibernateAfterS < idleTtlS;
  }

  /** When an archive of a session is removed, if nobody uses it; one of nothing is not kept for longer than a session. */
  expiryOf({ saved_at, entries }: ArchiveRecord): Date {
    const { archiveTtlS, idleTtlS } = this.limits;
    return new Date(Date.parse(saved_at) + (entries === 0 ? idleTtlS : archiveTtlS) * 1000);
  }

  /** What there is of a session. */
  find(owner: string, sessionId: string): ArchiveRecord | undefined {
    return this.store.records.find(
      (record) => record.kind === 'session' && record.owner === owner && record.session_id === sessionId,
    );
  }
}
