import { Counter, Gauge, type Registry } from 'prom-client';
import type { Route } from '../route.ts';
import { COUNTERS, type Figures, GAUGES, LABELLED } from './metric-table.ts';

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

export interface MetricsSources {
  /** @param eventLoop its delay; default: that since the last reading without it */
  readonly read: (eventLoop?: Figures['eventLoop']) => Figures;
  /** Asks the engine whether it answers. It never rejects, and does not take long. */
  readonly engineAnswers: () => Promise<boolean>;
}

/** Metrics of a registry, with those of the tables, which are read at each request. */
export class ServerMetrics {
  readonly #registry: Registry;
  readonly #sources: MetricsSources;
  readonly #update: (figures: Figures) => void;
  readonly #engine: Gauge;

  constructor(registry: Registry, sources: MetricsSources) {
    this.#registry = registry;
    this.#sources = sources;
    this.#update = registerTables(registry);
    this.#engine = new Gauge({
      name: 'glovebox_engine_up',
      help: 'Whether the container engine or the cluster answers.',
      registers: [registry],
    });
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  /** @param owner whose samples are included. Undefined for those of all */
  async render(owner: string | undefined): Promise<string> {
    await this.#refresh();
    const text = await this.#registry.metrics();
    if (owner === undefined) return text;
    const isShown = (line: string) => (OWNED.exec(line)?.[1] ?? owner) === owner;
    return text.split('\n').filter(isShown).join('\n');
  }

  /** All samples, for another reader than those of the route. @param eventLoop the delay since that one has read last */
  async collect(eventLoop: Figures['eventLoop']): ReturnType<Registry['getMetricsAsJSON']> {
    await this.#refresh(eventLoop);
    return await this.#registry.getMetricsAsJSON();
  }

  async #refresh(eventLoop?: Figures['eventLoop']): Promise<void> {
    this.#engine.set(Number(await this.#sources.engineAnswers()));
    this.#update(this.#sources.read(eventLoop));
  }
}

/** Registers the metrics of the tables. Returns how to set them. */
function registerTables(registry: Registry): (figures: Figures) => void {
  const registers = [registry];
  const gauges = Object.entries(GAUGES).map(([name, [help, read]]) => {
    const gauge = new Gauge({ name, help, registers });
    return (figures: Figures) => gauge.set(read(figures));
  });
  const labelled = [...Object.entries(LABELLED), ...Object.entries(COUNTERS)].map(([name, [help, read]]) => {
    const labelNames = ['version', 'quantile', 'protection', 'kind', 'from', 'direction'];
    const options = { name, help, labelNames, registers };
    const metric = name in COUNTERS ? new Counter(options) : new Gauge(options);
    return (figures: Figures) => {
      // Those of the last time may be gone, and a counter can only be added to.
      metric.reset();
      for (const [labels, value] of read(figures)) metric.inc(labels, value);
    };
  });
  return (figures) => {
    for (const set of [...gauges, ...labelled]) set(figures);
  };
}
