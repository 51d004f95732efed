import { randomUUID } from 'node:crypto';
import { ExportResultCode } from '@opentelemetry/core';
import {
  JsonMetricsSerializer,
  JsonTraceSerializer,
  ProtobufMetricsSerializer,
  ProtobufTraceSerializer,
} from '@opentelemetry/otlp-transformer';
import { defaultResource, type Resource, resourceFromAttributes } from '@opentelemetry/resources';
import { MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics';
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  BatchSpanProcessor,
  ParentBasedSampler,
  type ReadableSpan,
  TraceIdRatioBasedSampler,
} from '@opentelemetry/sdk-trace';
import { within } from '../lib/deadline.ts';
import type { Log } from '../log.ts';
import { Dispatchers, type HostAccess } from '../outbound/dispatchers.ts';
import { CollectorHealth } from './collector-health.ts';
import { OtlpSender } from './otlp-sender.ts';
import { PIECE_SPANS, PiecewiseExporter } from './piecewise-exporter.ts';
import { PrometheusMetrics, type PrometheusMetricsOptions } from './prometheus-metrics.ts';
import type { Sampler, SignalSettings, TelemetrySettings } from './settings.ts';
import { useTracer } from './trace.ts';
import { OpenTelemetryTracer } from './tracer.ts';

/** Time for the last reports to arrive when the server stops, in milliseconds. */
const CLOSE_MS = 2000;

export interface TelemetryOptions {
  readonly settings: TelemetrySettings;
  /** How this host reaches others. */
  readonly hosts: HostAccess;
  readonly version: string;
  readonly log: Log;
}

/** Sends traces, and metrics once they can be read, to a collector until it is disposed of. */
export class Telemetry implements AsyncDisposable {
  readonly #options: TelemetryOptions;
  readonly #resource: Resource;
  readonly #hosts: Dispatchers;
  readonly #health: CollectorHealth;
  readonly #closing = new AbortController();
  readonly #traces: BatchSpanProcessor | undefined;
  #metrics: MeterProvider | undefined;

  /** @throws GloveboxError `invalid_input` when the authorities of this host cannot be read */
  constructor(options: TelemetryOptions) {
    const { settings, hosts, version, log } = options;
    this.#options = options;
    this.#resource = describeServer(settings, version);
    this.#hosts = new Dispatchers(hosts);
    this.#health = new CollectorHealth(log);
    if (settings.traces) this.#traces = this.#sendTraces(settings.traces);
  }

  /** Reports metrics from now on. @param read reads all of them as they are now */
  exportMetrics(read: PrometheusMetricsOptions['read']): void {
    const { settings, version } = this.#options;
    const { metrics, metricIntervalMs: everyMs } = settings;
    if (!metrics) return;
    const resource = this.#resource;
    const serializer = metrics.encoding === 'json' ? JsonMetricsSerializer : ProtobufMetricsSerializer;
    const reader = new PeriodicExportingMetricReader({
      exporter: this.#exporter(metrics, (reports: Parameters<typeof serializer.serializeRequest>[0]) =>
        serializer.serializeRequest(reports),
      ),
      exportIntervalMillis: everyMs,
      exportTimeoutMillis: Math.min(everyMs, metrics.timeoutMs),
      metricProducers: [new PrometheusMetrics({ read, resource, version })],
    });
    this.#metrics = new MeterProvider({ resource, readers: [reader] });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    useTracer(undefined);
    // What cannot be sent is no reason to stop later or otherwise.
    const sent = Promise.allSettled([this.#traces?.shutdown(), this.#metrics?.shutdown()]);
    await within(CLOSE_MS, sent);
    this.#closing.abort();
    await this.#hosts.close();
  }

  #sendTraces(signal: SignalSettings): BatchSpanProcessor {
    const { settings, version } = this.#options;
    const delayMs = settings.traceDelayMs;
    const isJson = signal.encoding === 'json';
    const processor = new BatchSpanProcessor({
      exporter: isJson ? this.#exporter(signal, writeJson) : this.#piecewiseExporter(signal, delayMs),
      scheduledDelayMillis: delayMs,
      exportTimeoutMillis: signal.timeoutMs * 2,
      ...(isJson ? {} : { maxExportBatchSize: PIECE_SPANS }),
    });
    const tracer = new OpenTelemetryTracer({
      resource: this.#resource,
      instrumentationScope: { name: 'glovebox', version },
      processor,
      sampler: samplerFor(settings.sampler),
      propagates: settings.propagates,
    });
    useTracer(tracer);
    return processor;
  }

  #piecewiseExporter(settings: SignalSettings, delayMs: number): PiecewiseExporter {
    const sender = this.#sender(settings);
    return new PiecewiseExporter({
      serialize: (spans) => ProtobufTraceSerializer.serializeRequest(spans),
      send: (report) => sender.send(report),
      delayMs,
    });
  }

  #exporter<T>(settings: SignalSettings, serialize: (items: T) => Uint8Array | undefined) {
    const sender = this.#sender(settings);
    return {
      export: (items: T, done: (result: { code: ExportResultCode; error?: Error }) => void) => {
        const report = serialize(items);
        const sent = report ? sender.send(report) : Promise.resolve();
        sent.then(
          () => done({ code: ExportResultCode.SUCCESS }),
          // The log has it already.
          (error: Error) => done({ code: ExportResultCode.FAILED, error }),
        );
      },
      forceFlush: async () => {},
      shutdown: async () => {},
    };
  }

  #sender(settings: SignalSettings): OtlpSender {
    return new OtlpSender(settings, this.#hosts, this.#health, this.#closing.signal);
  }
}

function writeJson(spans: ReadableSpan[]): Uint8Array | undefined {
  return JsonTraceSerializer.serializeRequest(spans);
}

function describeServer({ resource }: TelemetrySettings, version: string): Resource {
  const own = { 'service.version': version, 'service.instance.id': randomUUID() };
  return defaultResource().merge(resourceFromAttributes({ ...own, ...resource }));
}

function samplerFor({ ratio, respectsCaller }: Sampler) {
  const root =
    ratio === 1 ? new AlwaysOnSampler() : ratio === 0 ? new AlwaysOffSampler() : new TraceIdRatioBasedSampler(ratio);
  return respectsCaller ? new ParentBasedSampler({ root }) : root;
}
