import { GloveboxError } from '../errors.ts';
import { DisplayCollector } from '../execution/displays.ts';
import { outputPath } from '../execution/output-path.ts';
import type { FullReport, KeptFile } from '../execution/report.ts';
import type { ExecutionEnd } from '../execution/request.ts';
import { round } from '../execution/stopwatch.ts';
import { SessionFiles } from '../files/session-files.ts';
import { type ExecutePythonLimits, resultsPolicy, toOutcome } from '../tools/execution-outcome.ts';
import type { ExecutionOutput } from '../tools/execution-output.ts';
import { metLimit } from '../tools/limit-output.ts';
import type { FinishExecution } from './recover-session.ts';
import type { Session } from './session.ts';

/** What `execute_python` answers for a background execution that an earlier control plane began. */
export function finishRecoveredExecution(limits: ExecutePythonLimits): FinishExecution {
  return async (session, { id, timeoutS, follow }, signal) => {
    const { end, durationMs } = await follow(signal);
    const outcome = await describeRecovered(session, { id, timeoutS, end }, limits);
    return { session_id: session.id, ...outcome, duration_ms: round(durationMs) };
  };
}

/**
 * What came of a background execution that an earlier control plane, or connection, began. Of its output there are
 * the sizes and the rich results; the text is read from its files by whoever asks.
 */
export async function describeRecovered(
  session: Session,
  { id, timeoutS, end }: { readonly id: string; readonly timeoutS: number; readonly end: ExecutionEnd },
  limits: ExecutePythonLimits,
): Promise<Omit<ExecutionOutput, 'session_id' | 'duration_ms'>> {
  const results = end.report ? await readResults(session, id, limits) : [];
  const truncated = describeCut(end.report?.kept);
  return {
    execution_id: id,
    ...(end.context ? { context: end.context, contexts: session.contexts.names } : {}),
    ...toOutcome(end, metLimit(end, timeoutS, limits)),
    stdout: '',
    stderr: end.failure === undefined ? '' : `${end.failure}\n`,
    ...(results.length > 0 ? { results } : {}),
    ...(truncated ? { truncated } : {}),
  };
}

async function readResults(session: Session, id: string, limits: ExecutePythonLimits) {
  const policy = resultsPolicy(limits);
  const collector = new DisplayCollector(policy);
  try {
    // Also of one that was cancelled meanwhile: what it displayed before is there.
    const files = new SessionFiles(session, new AbortController().signal);
    const { content } = await files.read(outputPath(id, 'display'), { length: policy.total }, policy.total);
    collector.add(content);
  } catch (error) {
    // Without a file nothing was displayed, or it is gone since.
    if (!(error instanceof GloveboxError)) throw error;
  }
  return collector.results;
}

/** As if all of it had been left out: of each stream there are the file, and how long it was. */
function describeCut(kept: FullReport['kept']): ExecutionOutput['truncated'] {
  const { stdout, stderr } = kept ?? {};
  return stdout || stderr
    ? { ...(stdout ? { stdout: cutOf(stdout) } : {}), ...(stderr ? { stderr: cutOf(stderr) } : {}) }
    : undefined;
}

function cutOf({ path, bytes, total = bytes }: KeptFile) {
  const inAll = Math.max(bytes, total);
  return { bytes: inAll, total_bytes: inAll, file: path, file_bytes: bytes };
}
