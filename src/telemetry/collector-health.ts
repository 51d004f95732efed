import type { Log } from '../log.ts';

/** Port at which collectors take OTLP over gRPC. */
const GRPC_PORT = '4317';

/** Tells the log once that a collector takes no reports, and once that it takes them again. */
export class CollectorHealth {
  readonly #log: Log;
  /** Addresses that take none. */
  readonly #failing = new Set<string>();
  /** When one took a report last, on the clock of `performance.now()`. */
  #answeredAt = Number.NEGATIVE_INFINITY;

  constructor(log: Log) {
    this.#log = log;
  }

  /** @param triedAt when the report was sent last, on the clock of `performance.now()` */
  failed(url: URL, error: unknown, triedAt: number): void {
    // A report whose time runs out between two tries says nothing of a collector that has come back meanwhile.
    if (triedAt < this.#answeredAt) return;
    const wasWell = this.#failing.size === 0;
    this.#failing.add(url.href);
    if (!wasWell) return;
    const hint = url.port === GRPC_PORT ? { hint: 'port 4317 is that of gRPC; OTLP over HTTP is usually at 4318' } : {};
    this.#log.warn('the OpenTelemetry collector takes no reports; traces and metrics are dropped meanwhile', {
      collector: url.origin + url.pathname,
      error: reasonOf(error),
      ...hint,
    });
  }

  answered(url: URL): void {
    this.#answeredAt = performance.now();
    if (!this.#failing.delete(url.href) || this.#failing.size > 0) return;
    this.#log.info('the OpenTelemetry collector takes reports again', { collector: url.origin + url.pathname });
  }
}

/** What the log needs of an error, without the text of a library that may quote a header. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.name === 'TimeoutError') return 'it did not answer in time';
  const { cause } = error;
  return cause instanceof Error && 'code' in cause ? String(cause.code) : error.message;
}
