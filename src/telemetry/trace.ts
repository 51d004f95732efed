/** Values by the names of OpenTelemetry's semantic conventions, or by `glovebox.…`. Never code, output, secrets, or names of people. */
export type Attributes = Readonly<Record<string, string | number | boolean | undefined>>;

/** Part of a trace that spans can be made children of. Only the tracer knows what is in it. */
export interface TraceContext {
  readonly isTraceContext: true;
}

/** A piece of work that is timed. */
export interface Span {
  /** For work that it causes elsewhere. */
  readonly context: TraceContext;
  /** Adds attributes. Those without a value are left out. */
  set(attributes: Attributes): void;
  rename(name: string): void;
  /** Marks it as failed, with nothing of an error but its code. */
  fail(error: unknown): void;
  end(): void;
}

/** Fields with which a caller names its trace (W3C Trace Context): headers of HTTP, or `_meta` of MCP. */
export type Carrier = (name: 'traceparent' | 'tracestate') => unknown;

export interface SpanOptions {
  /** Default: work inside of this server. */
  readonly kind?: 'server' | 'client';
  /** Fields of the caller. Where they name a trace, it continues that, and is linked with what it is part of here. */
  readonly from?: Carrier | undefined;
  /** What it is a part of. Default: the work that is going on. */
  readonly parent?: TraceContext | undefined;
  /** Whether it begins a trace of its own, linked with the work that has caused it. */
  readonly isRoot?: boolean;
}

/** What makes spans: `OpenTelemetry` in this folder, which is loaded only where there is a collector. */
export interface Tracer {
  start(name: string, options: SpanOptions | undefined): Span;
  /** Does work as a part of a span. Undefined: as a part of none. */
  within<T>(context: TraceContext | undefined, work: () => T): T;
  current(): TraceContext | undefined;
  /** Fields that tell others of the current span. */
  fields(): Readonly<Record<string, string>>;
}

let tracer: Tracer | undefined;

/** Has spans made from now on. Undefined: none, which costs nothing. */
export function useTracer(used: Tracer | undefined): void {
  tracer = used;
}

export function isTracing(): boolean {
  return tracer !== undefined;
}

/**
 * Starts a span that the caller ends. Undefined where nothing is traced: with `?.`, not even its attributes are made then.
 * Work that goes on meanwhile is no part of it, unless it is done by {@link within}.
 */
export function startSpan(name: string, options?: SpanOptions): Span | undefined {
  return tracer?.start(name, options);
}

/** Does work as a span, which ends with it. */
export function trace<T>(
  name: string,
  work: (span: Span | undefined) => Promise<T>,
  options?: SpanOptions,
): Promise<T> {
  return tracer ? follow(tracer, tracer.start(name, options), work) : work(undefined);
}

/** Does work as a part of a span that was started before, or of the one whose context was kept. */
export function within<T>(context: TraceContext | undefined, work: () => T): T {
  return tracer && context ? tracer.within(context, work) : work();
}

/** Does work that outlasts what it is done for, such as opening a connection: it is a part of no span. */
export function apart<T>(work: () => T): T {
  return tracer ? tracer.within(undefined, work) : work();
}

/** The span that is going on, to be continued by what comes another way, such as a connection. */
export function currentTrace(): TraceContext | undefined {
  return tracer?.current();
}

/** Fields for a request to others, which tell them of the span that is going on. Undefined if there are none. */
export function traceFields(): Readonly<Record<string, string>> | undefined {
  return tracer?.fields();
}

async function follow<T>(used: Tracer, span: Span, work: (span: Span) => Promise<T>): Promise<T> {
  try {
    return await used.within(span.context, () => work(span));
  } catch (error) {
    span.fail(error);
    throw error;
  } finally {
    span.end();
  }
}
