import {
  type HrTime,
  type Link,
  type Attributes as OtelAttributes,
  type SpanContext,
  type SpanKind,
  type SpanStatus,
  SpanStatusCode,
} from '@opentelemetry/api';
import { type InstrumentationScope, millisToHrTime } from '@opentelemetry/core';
import type { Resource } from '@opentelemetry/resources';
import type { ReadableSpan, SpanProcessor } from '@opentelemetry/sdk-trace';
import { codeOf } from './error-code.ts';
import type { Attributes, Span, TraceContext } from './trace.ts';

const UNSET: SpanStatus = { code: SpanStatusCode.UNSET };
const ERROR: SpanStatus = { code: SpanStatusCode.ERROR };

/** What the spans of a server have in common. */
export interface SpanSource {
  readonly resource: Resource;
  readonly instrumentationScope: InstrumentationScope;
  /** Takes each span that is sampled once it has ended. */
  readonly processor: Pick<SpanProcessor, 'onEnd'>;
}

export interface SpanStart {
  readonly name: string;
  readonly kind: SpanKind;
  readonly spanContext: SpanContext;
  readonly parentSpanContext: SpanContext | undefined;
  readonly links: Link[];
  readonly isSampled: boolean;
}

/**
 * A span as OpenTelemetry's packages read it. A call meets nothing but a few assignments: whatever can be made when a batch
 * is written is made there, many at once.
 */
export class RecordedSpan implements Span, TraceContext, ReadableSpan {
  readonly parentSpanContext?: SpanContext;
  readonly #source: SpanSource;
  readonly #start: SpanStart;
  /** On two clocks: the one of the day, and one that never goes back. */
  readonly #startedMs = Date.now();
  readonly #startedAt = performance.now();
  readonly #attributes: Attributes[] = [];
  #name: string;
  #hasFailed = false;
  #tookMs: number | undefined;
  /** Made when it is read, which is more than once for a batch. */
  #merged: OtelAttributes | undefined;

  constructor(source: SpanSource, start: SpanStart) {
    this.#source = source;
    this.#start = start;
    this.#name = start.name;
    if (start.parentSpanContext) this.parentSpanContext = start.parentSpanContext;
  }

  set(attributes: Attributes): void {
    if (this.ended) return;
    this.#attributes.push(attributes);
    this.#merged = undefined;
  }

  rename(name: string): void {
    if (!this.ended) this.#name = name;
  }

  fail(error: unknown): void {
    if (this.ended) return;
    this.set({ 'error.type': codeOf(error) });
    this.#hasFailed = true;
  }

  end(): void {
    if (this.ended) return;
    this.#tookMs = performance.now() - this.#startedAt;
    if (this.isSampled) this.#source.processor.onEnd(this);
  }

  get isTraceContext(): true {
    return true;
  }

  get context(): TraceContext {
    return this;
  }

  get isSampled(): boolean {
    return this.#start.isSampled;
  }

  spanContext(): SpanContext {
    return this.#start.spanContext;
  }

  get name(): string {
    return this.#name;
  }

  get kind(): SpanKind {
    return this.#start.kind;
  }

  get startTime(): HrTime {
    return millisToHrTime(this.#startedMs);
  }

  get endTime(): HrTime {
    return millisToHrTime(this.#startedMs + (this.#tookMs ?? 0));
  }

  get duration(): HrTime {
    return millisToHrTime(this.#tookMs ?? 0);
  }

  get ended(): boolean {
    return this.#tookMs !== undefined;
  }

  /** Those that have a value; the last one of a name counts. */
  get attributes(): OtelAttributes {
    this.#merged ??= merge(this.#attributes);
    return this.#merged;
  }

  get status(): SpanStatus {
    return this.#hasFailed ? ERROR : UNSET;
  }

  get links(): Link[] {
    return this.#start.links;
  }

  get events(): [] {
    return [];
  }

  get resource(): Resource {
    return this.#source.resource;
  }

  get instrumentationScope(): InstrumentationScope {
    return this.#source.instrumentationScope;
  }

  get droppedAttributesCount(): number {
    return 0;
  }

  get droppedEventsCount(): number {
    return 0;
  }

  get droppedLinksCount(): number {
    return 0;
  }
}

function merge(all: readonly Attributes[]): OtelAttributes {
  const merged: OtelAttributes = {};
  for (const attributes of all) {
    for (const name of Object.keys(attributes)) {
      const value = attributes[name];
      if (value !== undefined) merged[name] = value;
    }
  }
  return merged;
}
