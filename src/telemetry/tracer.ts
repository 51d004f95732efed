import { AsyncLocalStorage } from 'node:async_hooks';
import { type Context, ROOT_CONTEXT, SpanKind, TraceFlags, trace } from '@opentelemetry/api';
import { W3CTraceContextPropagator } from '@opentelemetry/core';
import { RandomIdGenerator, type Sampler, SamplingDecision } from '@opentelemetry/sdk-trace';
import { RecordedSpan, type SpanSource } from './recorded-span.ts';
import type { Carrier, SpanOptions, TraceContext, Tracer } from './trace.ts';

const KINDS = { server: SpanKind.SERVER, client: SpanKind.CLIENT } as const;
/** A name of the field that a caller's trace comes in is no longer than this. */
const LONGEST_FIELD = 512;

export interface TracerOptions extends SpanSource {
  /** Decides of each trace that begins here, or comes from a caller, whether it is recorded. */
  readonly sampler: Sampler;
  /** Whether it continues traces of callers, and tells others of its own. */
  readonly propagates: boolean;
}

/** Makes spans for OpenTelemetry's packages. The span that is going on is kept by Node for each chain of promises. */
export class OpenTelemetryTracer implements Tracer {
  readonly #options: TracerOptions;
  readonly #current = new AsyncLocalStorage<RecordedSpan | undefined>();
  readonly #propagator = new W3CTraceContextPropagator();
  readonly #ids = new RandomIdGenerator();

  constructor(options: TracerOptions) {
    this.#options = options;
  }

  start(name: string, { kind: kindName, parent, from, isRoot = false }: SpanOptions = {}): RecordedSpan {
    const kind = kindName ? KINDS[kindName] : SpanKind.INTERNAL;
    const here = parent instanceof RecordedSpan ? parent : this.#current.getStore();
    const caller = from && this.#options.propagates ? this.#extract(from) : undefined;
    const begins = caller !== undefined || isRoot;
    const above = caller ? trace.getSpanContext(caller) : begins ? undefined : here?.spanContext();
    const traceId = above?.traceId ?? this.#ids.generateTraceId();
    const isSampled = here && !begins ? here.isSampled : this.#samples(caller ?? ROOT_CONTEXT, traceId, name, kind);
    const spanContext = {
      traceId,
      spanId: this.#ids.generateSpanId(),
      traceFlags: isSampled ? TraceFlags.SAMPLED : TraceFlags.NONE,
      ...(above?.traceState ? { traceState: above.traceState } : {}),
    };
    const links = here && begins ? [{ context: here.spanContext() }] : [];
    return new RecordedSpan(this.#options, { name, kind, spanContext, parentSpanContext: above, links, isSampled });
  }

  within<T>(context: TraceContext | undefined, work: () => T): T {
    return this.#current.run(context instanceof RecordedSpan ? context : undefined, work);
  }

  current(): TraceContext | undefined {
    return this.#current.getStore();
  }

  fields(): Readonly<Record<string, string>> {
    const fields: Record<string, string> = {};
    const span = this.#current.getStore();
    if (span && this.#options.propagates) {
      this.#propagator.inject(trace.setSpanContext(ROOT_CONTEXT, span.spanContext()), fields, SETTER);
    }
    return fields;
  }

  #samples(context: Context, traceId: string, name: string, kind: SpanKind): boolean {
    const { decision } = this.#options.sampler.shouldSample(context, traceId, name, kind, {}, []);
    return decision === SamplingDecision.RECORD_AND_SAMPLED;
  }

  /** The span of a caller. Undefined if it names none, or none that can be one. */
  #extract(carrier: Carrier): Context | undefined {
    if (carrier('traceparent') === undefined) return undefined;
    const context = this.#propagator.extract(ROOT_CONTEXT, carrier, GETTER);
    return context === ROOT_CONTEXT ? undefined : context;
  }
}

const SETTER = {
  set: (fields: Record<string, string>, name: string, value: string) => {
    fields[name] = value;
  },
};

const GETTER = {
  keys: () => ['traceparent', 'tracestate'],
  get: (carrier: Carrier, name: string) => {
    if (name !== 'traceparent' && name !== 'tracestate') return undefined;
    const value = carrier(name);
    return typeof value === 'string' && value.length <= LONGEST_FIELD ? value : undefined;
  },
};
