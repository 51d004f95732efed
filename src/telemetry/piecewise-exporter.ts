import { type ExportResult, ExportResultCode } from '@opentelemetry/core';
import type { ReadableSpan, SpanExporter } from '@opentelemetry/sdk-trace';

/** Spans that are written at once. */
export const PIECE_SPANS = 32;
/** Spans after which a report is sent. */
const FULL_SPANS = 512;
/** Spans that are held at most while the collector takes none, as OpenTelemetry's own batches have it. */
const MOST_SPANS = 2048;

export interface PiecewiseExporterOptions {
  /** Writes spans as a message of Protobuf: two of them one after the other are one that has the spans of both. */
  readonly serialize: (spans: ReadableSpan[]) => Uint8Array | undefined;
  readonly send: (report: Uint8Array) => Promise<void>;
  /** Longest wait of a span for others, in milliseconds. */
  readonly delayMs: number;
}

/**
 * Writes spans a few at a time, and sends many at once. So no call waits while hundreds are written, and spans end where V8
 * frees them for almost nothing, before they are moved to where it does not.
 */
export class PiecewiseExporter implements SpanExporter {
  readonly #options: PiecewiseExporterOptions;
  #pieces: Uint8Array[] = [];
  #held = 0;
  #timer: NodeJS.Timeout | undefined;
  #sending: Promise<void> | undefined;

  constructor(options: PiecewiseExporterOptions) {
    this.#options = options;
  }

  export(spans: ReadableSpan[], done: (result: ExportResult) => void): void {
    const piece = this.#held < MOST_SPANS ? this.#options.serialize(spans) : undefined;
    if (!piece) {
      done({ code: ExportResultCode.FAILED });
      return;
    }
    this.#pieces.push(piece);
    this.#held += spans.length;
    // Fewer than a piece: those before them have waited as long as they may.
    if (this.#held >= FULL_SPANS || spans.length < PIECE_SPANS) void this.forceFlush();
    else this.#timer ??= setTimeout(() => void this.forceFlush(), this.#options.delayMs).unref();
    done({ code: ExportResultCode.SUCCESS });
  }

  /** Sends what is held. Resolves when it has been sent, or is lost. */
  async forceFlush(): Promise<void> {
    if (this.#held > 0) this.#sending ??= this.#send();
    await this.#sending;
  }

  async shutdown(): Promise<void> {
    await this.forceFlush();
  }

  async #send(): Promise<void> {
    while (this.#held > 0) {
      clearTimeout(this.#timer);
      this.#timer = undefined;
      const report = Buffer.concat(this.#pieces);
      this.#pieces = [];
      this.#held = 0;
      // The log has it already.
      await this.#options.send(report).catch(() => {});
    }
    // In the same turn as the look at what is held: nothing can be added in between.
    this.#sending = undefined;
  }
}
