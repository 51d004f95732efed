import { type Span, type SpanOptions, trace } from './trace.ts';

export interface ToolSpanOptions extends SpanOptions {
  /** Beginning of its name. Default: that of a call that is none of MCP. */
  readonly prefix?: string;
}

/** Calls a tool as a span, which has nothing of its input or output but how it ended. */
export function traceTool<T>(
  name: string,
  call: (span: Span | undefined) => Promise<T>,
  { prefix = 'execute_tool', ...options }: ToolSpanOptions = {},
): Promise<T> {
  const about = (span: Span | undefined) => {
    span?.set({ 'gen_ai.operation.name': 'execute_tool', 'gen_ai.tool.name': name });
    return call(span);
  };
  return trace(`${prefix} ${name}`, about, options);
}

/** Tells how an execution has ended: `error` if its code raised an exception, which is no failure of the call. */
export function tellStatus(span: Span, output: Readonly<Record<string, unknown>>): void {
  const { status } = output;
  if (typeof status === 'string') span.set({ 'glovebox.execution.status': status });
}
