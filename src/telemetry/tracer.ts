import { AsyncLocalStorage } from 'node:async_hooks';
import {
  type Context as OtelContext,
  type Span as OtelSpan,
  type SpanOptions as OtelSpanOptions,
  type Tracer as OtelTracer,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
} from '@opentelemetry/api';
import { W3CTraceContextPropagator } from '@opentelemetry/core';
import { codeOf } from './error-code.ts';
import type { Attributes, Carrier, Span, SpanOptions, TraceContext, Tracer } from './trace.ts';

const KINDS = { server: SpanKind.SERVER, client: SpanKind.CLIENT } as const;
/** A name of the field that a caller's trace comes in is no longer than this. */
const LONGEST_FIELD = 512;

/** Makes spans of OpenTelemetry. The span that is going on is kept by Node for each chain of promises. */
export class OpenTelemetryTracer implements Tracer {
  readonly #tracer: OtelTracer;
  readonly #current = new AsyncLocalStorage<OpenSpan | undefined>();
  readonly #propagator = new W3CTraceContextPropagator();
  readonly #propagates: boolean;

  constructor(tracer: OtelTracer, propagates: boolean) {
    this.#tracer = tracer;
    this.#propagates = propagates;
  }

  start(name: string, options: SpanOptions = {}): Span {
    const here = options.parent instanceof OpenSpan ? options.parent : this.#current.getStore();
    const caller = options.from && this.#propagates ? this.#extract(options.from) : undefined;
    const parent = caller ?? (options.isRoot ? ROOT_CONTEXT : (here?.asParent ?? ROOT_CONTEXT));
    const started: OtelSpanOptions = options.kind ? { kind: KINDS[options.kind] } : {};
    if (here && (caller || options.isRoot)) started.links = [{ context: here.span.spanContext() }];
    return new OpenSpan(this.#tracer.startSpan(name, started, parent));
  }

  within<T>(context: TraceContext | undefined, work: () => T): T {
    return this.#current.run(context instanceof OpenSpan ? context : undefined, work);
  }

  current(): TraceContext | undefined {
    return this.#current.getStore();
  }

  fields(): Readonly<Record<string, string>> {
    const fields: Record<string, string> = {};
    const span = this.#current.getStore();
    if (span && this.#propagates) this.#propagator.inject(span.asParent, fields, SETTER);
    return fields;
  }

  /** The span of a caller. Undefined if it names none, or none that can be one. */
  #extract(carrier: Carrier): OtelContext | undefined {
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

class OpenSpan implements Span, TraceContext {
  readonly isTraceContext = true;
  readonly span: OtelSpan;
  #asParent: OtelContext | undefined;

  constructor(span: OtelSpan) {
    this.span = span;
  }

  get context(): TraceContext {
    return this;
  }

  get asParent(): OtelContext {
    this.#asParent ??= trace.setSpan(ROOT_CONTEXT, this.span);
    return this.#asParent;
  }

  set(attributes: Attributes): void {
    this.span.setAttributes(attributes);
  }

  rename(name: string): void {
    this.span.updateName(name);
  }

  fail(error: unknown): void {
    this.span.setAttribute('error.type', codeOf(error));
    this.span.setStatus({ code: SpanStatusCode.ERROR });
  }

  end(): void {
    this.span.end();
  }
}
