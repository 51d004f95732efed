import { Counter, Histogram, type Registry } from 'prom-client';
import { toGloveboxError } from '../errors.ts';

/** Upper bounds of the histogram's buckets, in seconds. */
const BUCKETS_S = [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120];

/** What a session is archived for. */
type SaveKind = 'checkpoint' | 'hibernation';

/** Counts the archives of sessions as they are written, or fail to be. */
export class ArchiveMetrics {
  readonly #saves: Counter<'kind' | 'outcome'>;
  readonly #durations: Histogram<'kind'>;

  constructor(registry: Registry) {
    const registers = [registry];
    this.#saves = new Counter({
      name: 'glovebox_archive_saves_total',
      help: 'Checkpoints and hibernations of sessions: ok, or the code of the error.',
      labelNames: ['kind', 'outcome'],
      registers,
    });
    this.#durations = new Histogram({
      name: 'glovebox_archive_save_seconds',
      help: 'How long successful checkpoints and hibernations took.',
      labelNames: ['kind'],
      buckets: BUCKETS_S,
      registers,
    });
    // A series that begins with its first failure would hide that failure from `increase`.
    for (const kind of ['checkpoint', 'hibernation'])
      for (const outcome of ['ok', 'capacity_exceeded', 'archive_unavailable', 'internal_error'])
        this.#saves.inc({ kind, outcome }, 0);
  }

  /** Counts a save as it ends. @param isOver whether a failure is none, because nobody needs the archive any more */
  async follow<T>(kind: SaveKind, isOver: () => boolean, save: () => Promise<T>): Promise<T> {
    const begin = performance.now();
    try {
      const saved = await save();
      this.#saves.inc({ kind, outcome: 'ok' });
      this.#durations.observe({ kind }, (performance.now() - begin) / 1000);
      return saved;
    } catch (error) {
      if (!isOver()) this.#saves.inc({ kind, outcome: toGloveboxError(error).code });
      throw error;
    }
  }
}
