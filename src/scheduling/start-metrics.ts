import { Counter, Histogram, type Registry } from 'prom-client';
import { toGloveboxError } from '../errors.ts';

/** Upper bounds of the histogram's buckets, in seconds. */
const BUCKETS_S = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300];

/** Counts the starts of sandboxes, for sessions and for the pool, by how they ended. */
export class StartMetrics {
  readonly #starts: Counter<'outcome'>;
  readonly #durations: Histogram;

  constructor(registry: Registry) {
    const registers = [registry];
    this.#starts = new Counter({
      name: 'glovebox_sandbox_starts_total',
      help: 'Starts of sandboxes: ok, or the code of the error.',
      labelNames: ['outcome'],
      registers,
    });
    this.#durations = new Histogram({
      name: 'glovebox_sandbox_start_seconds',
      help: 'How long successful starts of sandboxes took, until code could run.',
      buckets: BUCKETS_S,
      registers,
    });
    // A series that begins with its first failure would hide that failure from `increase`.
    for (const outcome of ['ok', 'engine_unavailable']) this.#starts.inc({ outcome }, 0);
  }

  /** Counts a start as it ends. */
  async follow<T>(start: () => Promise<T>): Promise<T> {
    const begin = performance.now();
    try {
      const started = await start();
      this.#starts.inc({ outcome: 'ok' });
      this.#durations.observe((performance.now() - begin) / 1000);
      return started;
    } catch (error) {
      this.#starts.inc({ outcome: toGloveboxError(error).code });
      throw error;
    }
  }
}
