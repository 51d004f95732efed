import type { Attributes } from '@opentelemetry/api';
import { ValueType } from '@opentelemetry/api';
import type { Resource } from '@opentelemetry/resources';
import {
  AggregationTemporality,
  type CollectionResult,
  type DataPoint,
  DataPointType,
  type Histogram,
  type MetricData,
  type MetricProducer,
} from '@opentelemetry/sdk-metrics';

/** A metric as prom-client tells it: each bucket, sum and count of a histogram is a value. */
export interface PrometheusMetric {
  readonly name: string;
  readonly help: string;
  /** `counter`, `gauge` or `histogram`; `prom-client` gives its name, although its types say otherwise. */
  readonly type: unknown;
  readonly values: readonly PrometheusValue[];
}

interface PrometheusValue {
  readonly value: number;
  readonly labels: Readonly<Record<string, string | number | undefined>>;
  /** Name of the sample, such as `…_bucket`. */
  readonly metricName?: string;
}

export interface PrometheusMetricsOptions {
  /** Reads all metrics as they are now. */
  readonly read: () => Promise<readonly PrometheusMetric[]>;
  readonly resource: Resource;
  readonly version: string;
}

type Time = [seconds: number, nanoseconds: number];

/** The metrics of `GET /metrics` as those of OpenTelemetry, under the same names: there is one place that counts. */
export class PrometheusMetrics implements MetricProducer {
  readonly #options: PrometheusMetricsOptions;
  readonly #since = now();

  constructor(options: PrometheusMetricsOptions) {
    this.#options = options;
  }

  async collect(): Promise<CollectionResult> {
    const { read, resource, version } = this.#options;
    const period = { startTime: this.#since, endTime: now() };
    const metrics = (await read()).flatMap((metric) => toMetric(metric, period) ?? []);
    return {
      resourceMetrics: { resource, scopeMetrics: [{ scope: { name: 'glovebox', version }, metrics }] },
      errors: [],
    };
  }
}

type Period = Pick<DataPoint<unknown>, 'startTime' | 'endTime'>;

function toMetric({ name, help, type, values }: PrometheusMetric, period: Period): MetricData | undefined {
  if (values.length === 0) return undefined;
  const shared = {
    descriptor: { name, description: help, unit: unitOf(name), valueType: ValueType.DOUBLE },
    aggregationTemporality: AggregationTemporality.CUMULATIVE,
  };
  if (type === 'histogram')
    return { ...shared, dataPointType: DataPointType.HISTOGRAM, dataPoints: toHistograms(values, period) };
  const dataPoints = values.map(({ value, labels }) => ({ ...period, attributes: toAttributes(labels), value }));
  return type === 'counter'
    ? { ...shared, dataPointType: DataPointType.SUM, isMonotonic: true, dataPoints }
    : { ...shared, dataPointType: DataPointType.GAUGE, dataPoints };
}

/** Histograms by the labels of their values. Prometheus counts in each bucket all that lies below its bound. */
function toHistograms(values: readonly PrometheusValue[], period: Period): DataPoint<Histogram>[] {
  const byLabels = Map.groupBy(values, ({ labels: { le: _, ...labels } }) => JSON.stringify(labels));
  return [...byLabels.values()].map((samples) => {
    const { le: _, ...labels } = samples[0]?.labels ?? {};
    const sampleOf = (end: string) => samples.find(({ metricName }) => metricName?.endsWith(end))?.value ?? 0;
    const buckets = samples.filter(({ labels: { le } }) => le !== undefined);
    const below = buckets.map(({ value }) => value);
    return {
      ...period,
      attributes: toAttributes(labels),
      value: {
        buckets: {
          boundaries: buckets.map(({ labels: { le } }) => Number(le)).filter(Number.isFinite),
          counts: below.map((count, index) => count - (below[index - 1] ?? 0)),
        },
        sum: sampleOf('_sum'),
        count: sampleOf('_count'),
      },
    };
  });
}

function toAttributes(labels: PrometheusValue['labels']): Attributes {
  return Object.fromEntries(
    Object.entries(labels).flatMap(([name, value]) => (value === undefined ? [] : [[name, String(value)]])),
  );
}

/** Units by the ends of names, in UCUM. */
function unitOf(name: string): string {
  const base = name.replace(/_total$/, '');
  return base.endsWith('_seconds') ? 's' : base.endsWith('_bytes') ? 'By' : '';
}

function now(): Time {
  const ms = Date.now();
  return [Math.floor(ms / 1000), (ms % 1000) * 1e6];
}
