/** Labels of a sample, by name. */
export type Labels = Readonly<Record<string, string | number>>;

/** A line of a metric. */
interface Sample {
  /** What follows the name of the metric, such as `_sum`. */
  readonly suffix?: string;
  readonly labels: Labels;
  readonly value: number;
}

/** Metrics of one name. Each set of labels has a value of its own. */
abstract class Metric {
  abstract readonly type: 'counter' | 'gauge' | 'histogram';
  readonly name: string;
  readonly help: string;

  constructor(name: string, help: string) {
    this.name = name;
    this.help = help;
  }

  abstract samples(): readonly Sample[];
}

/** Values by their labels, which are given in the same order each time. */
class ByLabels<Value> {
  readonly #entries = new Map<string, { readonly labels: Labels; value: Value }>();
  readonly #initial: () => Value;

  constructor(initial: () => Value) {
    this.#initial = initial;
  }

  at(labels: Labels): { value: Value } {
    const key = formatLabels(labels);
    const known = this.#entries.get(key);
    if (known) return known;
    const entry = { labels, value: this.#initial() };
    this.#entries.set(key, entry);
    return entry;
  }

  clear(): void {
    this.#entries.clear();
  }

  list(): readonly { readonly labels: Labels; readonly value: Value }[] {
    return [...this.#entries.values()];
  }
}

/** A number that only grows. */
export class Counter extends Metric {
  override readonly type = 'counter';
  readonly #values = new ByLabels(() => 0);

  increment(labels: Labels): void {
    this.#values.at(labels).value += 1;
  }

  override samples(): readonly Sample[] {
    return this.#values.list();
  }
}

/** A number that is what it is now. */
export class Gauge extends Metric {
  override readonly type = 'gauge';
  readonly #values = new ByLabels(() => 0);

  set(value: number, labels: Labels = {}): void {
    this.#values.at(labels).value = value;
  }

  clear(): void {
    this.#values.clear();
  }

  override samples(): readonly Sample[] {
    return this.#values.list();
  }
}

/** How often values lay in which range. */
export class Histogram extends Metric {
  override readonly type = 'histogram';
  readonly #bounds: readonly number[];
  readonly #values: ByLabels<{ readonly counts: number[]; sum: number; count: number }>;

  /** @param bounds upper bounds of the buckets, ascending; a value that equals one is in its bucket */
  constructor(name: string, help: string, bounds: readonly number[]) {
    super(name, help);
    this.#bounds = bounds;
    this.#values = new ByLabels(() => ({ counts: bounds.map(() => 0), sum: 0, count: 0 }));
  }

  observe(value: number, labels: Labels): void {
    const { value: at } = this.#values.at(labels);
    at.sum += value;
    at.count += 1;
    const bucket = this.#bounds.findIndex((bound) => value <= bound);
    if (bucket >= 0) at.counts[bucket] = (at.counts[bucket] ?? 0) + 1;
  }

  override samples(): readonly Sample[] {
    return this.#values.list().flatMap(({ labels, value: { counts, sum, count } }) => {
      let below = 0;
      const buckets = this.#bounds.map((bound, at) => {
        below += counts[at] ?? 0;
        return bucketOf(labels, bound, below);
      });
      return [
        ...buckets,
        bucketOf(labels, Number.POSITIVE_INFINITY, count),
        { suffix: '_sum', labels, value: sum },
        { suffix: '_count', labels, value: count },
      ];
    });
  }
}

function bucketOf(labels: Labels, bound: number, value: number): Sample {
  return { suffix: '_bucket', labels: { ...labels, le: formatNumber(bound) }, value };
}

/** The metrics of one server, in version 0.0.4 of Prometheus' text format. */
export class Registry {
  readonly contentType = 'text/plain; version=0.0.4; charset=utf-8';
  readonly #metrics: Metric[] = [];

  add<Added extends Metric>(metric: Added): Added {
    this.#metrics.push(metric);
    return metric;
  }

  render(): string {
    return `${this.#metrics.map(formatMetric).join('\n\n')}\n`;
  }
}

function formatMetric(metric: Metric): string {
  const { name, help, type } = metric;
  return [
    `# HELP ${name} ${escapeText(help)}`,
    `# TYPE ${name} ${type}`,
    ...metric.samples().map(({ suffix = '', labels, value }) => {
      return `${name}${suffix}${formatLabels(labels)} ${formatNumber(value)}`;
    }),
  ].join('\n');
}

function formatLabels(labels: Labels): string {
  const pairs = Object.entries(labels).map(
    ([name, value]) => `${name}="${escapeText(`${value}`).replaceAll('"', '\\"')}"`,
  );
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}

function escapeText(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');
}

function formatNumber(value: number): string {
  return Number.isFinite(value) || Number.isNaN(value) ? `${value}` : `${value > 0 ? '+' : '-'}Inf`;
}
