import { outputPath } from '../../execution/output-path.ts';
import type { OutputStreams } from '../../execution/output-streams.ts';
import type { KeptFile } from '../../execution/report.ts';
import type { ExecutionEnd, OutputSink } from '../../execution/request.ts';
import type { ExecutionOutput, ExecutionResult } from '../../execution/result.ts';

/** Result of an execution that its caller may have left, in the form that `Session.run` gives. */
export interface CalledResult {
  readonly result: ExecutionResult;
  /** Files of output that a call would not have left. */
  readonly spare: readonly string[];
}

/** Passes the text of an execution to a second collector, too. */
export function alsoTo(second: OutputStreams, first: OutputSink): OutputSink {
  return (name, chunk, keep) => {
    if (name !== 'display') void second.take(name, chunk, keep);
    return first(name, chunk, keep);
  };
}

/** The output that a call has: of streams that fit into a result, it has no files. */
export async function foldAsCalled(
  text: OutputStreams,
  end: ExecutionEnd,
  { displays }: ExecutionOutput,
  { executionId, outputLimit }: { readonly executionId: string; readonly outputLimit: number },
): Promise<{ readonly output: ExecutionOutput; readonly spare: readonly string[] }> {
  await text.finish();
  const { report } = end;
  const kept = report?.kept ?? {};
  const isLong = ({ bytes, total = bytes }: KeptFile) => total > outputLimit;
  const short = (['stdout', 'stderr'] as const).filter((name) => kept[name] && !isLong(kept[name]));
  const long = Object.fromEntries(Object.entries(kept).filter(([, file]) => file && isLong(file)));
  const output = text.fold({ ...end, ...(report ? { report: { ...report, kept: long } } : {}) });
  return {
    output: { ...output, ...(displays ? { displays } : {}) },
    spare: [...short, ...(displays ? (['display'] as const) : [])].map((name) => outputPath(executionId, name)),
  };
}
