import { Gauge, type Registry } from 'prom-client';
import type { AuditFigures } from '../../audit/audit-log.ts';
import type { GloveboxFigures } from '../../glovebox-figures.ts';
import type { EventLoopDelay } from '../event-loop.ts';
import type { Route } from '../route.ts';

export interface Figures extends GloveboxFigures {
  readonly eventLoop: EventLoopDelay;
  /** Undefined without an audit log. */
  readonly audit?: AuditFigures | undefined;
}

const BYTES_PER_MIB = 2 ** 20;

const GAUGES: Readonly<Record<string, readonly [help: string, read: (figures: Figures) => number]>> = {
  sessions: ['Sessions, including hibernated ones.', ({ sessions }) => sessions],
  sessions_adopting: ['Sessions that are still to be adopted from the last run.', ({ adopting }) => adopting],
  terminals: ['Open terminals.', ({ terminals }) => terminals],
  pool_ready: ['Sandboxes ready for new sessions.', ({ pool }) => pool.ready],
  pool_size: ['Target number of sandboxes in the pool.', ({ pool }) => pool.size],
  memory_limit_bytes: ['Sum of the memory limits of all sandboxes.', ({ claimedMb }) => claimedMb * BYTES_PER_MIB],
  preload_bytes: [
    'Memory for what other sessions used of late and the own one has not used yet.',
    ({ preload }) => preload.bytes,
  ],
  preload_limit_bytes: ['Highest value of preload_bytes.', ({ preload }) => preload.limit],
  preload_sandboxes: ['Sandboxes that hold some of preload_bytes.', ({ preload }) => preload.sandboxes],
  preload_failures: ['Modules that could not be loaded beforehand since the start.', ({ preload }) => preload.failures],
  audit_entries_waiting: ['Entries that wait to be written to the audit log.', ({ audit }) => audit?.waiting ?? 0],
  audit_entries_lost: [
    'Entries that the audit log lost since the start, because it could not be written.',
    ({ audit }) => audit?.lost ?? 0,
  ],
  executions_running: ['Executions that are running.', ({ executions }) => executions.running],
  executions_waiting: ['Executions that wait to run.', ({ executions }) => executions.waiting],
  executions_places: ['Executions that may run at once.', ({ executions }) => executions.places],
};

/** A sample of one owner: that label comes first. */
const OWNED = /^\w+\{owner="([^"]*)"/;

/**
 * `GET /metrics`: metrics of the whole server, in the text format of Prometheus. They name no session. What has the name of
 * an owner is shown to that owner, and to a key that may approve for that owner or for all.
 */
export function metricsRoute(metrics: ServerMetrics): Route {
  const plain = { 'text/plain': { schema: { type: 'string' } } };
  return {
    method: 'GET',
    path: '/metrics',
    id: 'getMetrics',
    tag: 'Server',
    summary: 'Metrics of this server for Prometheus.',
    needs: 'operate',
    forApprovers: true,
    operation: { responses: { 200: { description: 'One sample per line.', content: plain } } },
    handle: async (c) => {
      const { owner, approver } = c.var;
      const text = await metrics.render(approver ? approver.owner : owner);
      return c.body(text, 200, { 'Content-Type': metrics.contentType });
    },
  };
}

/** Metrics of a registry, with gauges that are read at each request. */
export class ServerMetrics {
  readonly #registry: Registry;
  readonly #read: () => Figures;
  readonly #gauges: readonly (readonly [Gauge, (figures: Figures) => number])[];
  readonly #delay: Gauge<'quantile'>;
  readonly #missing: Gauge<'protection'>;

  constructor(registry: Registry, read: () => Figures) {
    this.#registry = registry;
    this.#read = read;
    const registers = [registry];
    this.#gauges = Object.entries(GAUGES).map(([name, [help, value]]) => [
      new Gauge({ name: `glovebox_${name}`, help, registers }),
      value,
    ]);
    this.#delay = new Gauge({
      name: 'glovebox_event_loop_delay_seconds',
      help: 'Delay of the event loop since the last scrape.',
      labelNames: ['quantile'],
      registers,
    });
    this.#missing = new Gauge({
      name: 'glovebox_sandbox_missing',
      help: 'Protections that sandboxes lack, as GLOVEBOX_ALLOW_MISSING allows.',
      labelNames: ['protection'],
      registers,
    });
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  /** @param owner whose samples are included. Undefined for those of all */
  async render(owner: string | undefined): Promise<string> {
    const figures = this.#read();
    const { maxS, quantilesS } = figures.eventLoop;
    for (const [gauge, value] of this.#gauges) gauge.set(value(figures));
    for (const [quantile, delayS] of quantilesS) this.#delay.set({ quantile }, delayS);
    this.#delay.set({ quantile: 1 }, maxS);
    this.#missing.reset();
    for (const protection of figures.missing ?? []) this.#missing.set({ protection }, 1);
    const text = await this.#registry.metrics();
    if (owner === undefined) return text;
    const isShown = (line: string) => (OWNED.exec(line)?.[1] ?? owner) === owner;
    return text.split('\n').filter(isShown).join('\n');
  }
}
