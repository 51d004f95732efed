/** What is sent to a collector, by the standard variables `OTEL_…`. */
export interface TelemetrySettings {
  /** Where traces go. Undefined: nowhere. */
  readonly traces?: SignalSettings | undefined;
  /** Where metrics go. Undefined: nowhere. */
  readonly metrics?: SignalSettings | undefined;
  /** Attributes of this server, such as `service.name`. */
  readonly resource: Readonly<Record<string, string>>;
  readonly sampler: Sampler;
  /** Whether traces of callers go on here, and those of here in other servers. */
  readonly propagates: boolean;
  /** Longest time that a finished span waits to be sent, in milliseconds. */
  readonly traceDelayMs: number;
  /** Time between two reports of metrics, in milliseconds. */
  readonly metricIntervalMs: number;
}

export interface SignalSettings {
  readonly url: URL;
  /** They may hold credentials. */
  readonly headers: Readonly<Record<string, string>>;
  readonly encoding: 'protobuf' | 'json';
  readonly isCompressed: boolean;
  /** Time for one report to arrive, all tries together, in milliseconds. */
  readonly timeoutMs: number;
}

/** Which traces are recorded. `respectsCaller`: if a caller's own trace is, and only then, so is what it calls. */
export interface Sampler {
  /** Part of the traces, from 0 to 1. */
  readonly ratio: number;
  readonly respectsCaller: boolean;
}
