import { Counter, Histogram, type Registry } from 'prom-client';

/** Upper bounds of the histogram's buckets, in seconds. */
const BUCKETS_S = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];

/** Counts the calls of tools by code as they end. Names of servers are the operator's; those of tools are not counted by. */
export class ToolMetrics {
  readonly #calls: Counter<'server' | 'outcome'>;
  readonly #durations: Histogram<'server'>;

  constructor(registry: Registry) {
    const registers = [registry];
    this.#calls = new Counter({
      name: 'glovebox_tool_calls_total',
      help: 'Calls of tools by code that have ended.',
      labelNames: ['server', 'outcome'],
      registers,
    });
    this.#durations = new Histogram({
      name: 'glovebox_tool_call_seconds',
      help: 'How long calls of tools by code took.',
      labelNames: ['server'],
      buckets: BUCKETS_S,
      registers,
    });
  }

  count(server: string, outcome: string, ms: number): void {
    this.#calls.inc({ server, outcome });
    this.#durations.observe({ server }, ms / 1000);
  }
}
