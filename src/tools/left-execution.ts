import { GloveboxError } from '../errors.ts';
import { SessionFiles } from '../sandbox/files.ts';
import { keptPath } from '../sandbox/kept.ts';
import type { FinishJob } from '../sandbox/restore.ts';
import { ResultCollector } from '../sandbox/results.ts';
import type { Session } from '../sandbox/session.ts';
import { type ExecutePythonLimits, resultsPolicy, round, toOutcome } from './execute-python.ts';
import { metLimit } from './limits.ts';

/**
 * What `execute_python` answers for a background execution that an earlier control plane began.
 * Of its output it has the sizes and the rich results; the text is read from its files by whoever asks.
 */
export function finishLeftExecution(limits: ExecutePythonLimits): FinishJob {
  return async (session, { id, timeoutS, follow }, signal) => {
    const { end, durationMs } = await follow(signal);
    const results = end.report ? await readResults(session, id, limits) : [];
    const truncated = describeCut(end.report?.kept, limits.outputLimit);
    return {
      session_id: session.id,
      execution_id: id,
      ...(end.context ? { context: end.context, contexts: session.contexts.names } : {}),
      ...toOutcome(end, metLimit(end, timeoutS, limits)),
      stdout: '',
      stderr: end.failure === undefined ? '' : `${end.failure}\n`,
      ...(results.length > 0 ? { results } : {}),
      ...(truncated ? { truncated } : {}),
      duration_ms: round(durationMs),
    };
  };
}

async function readResults(session: Session, id: string, limits: ExecutePythonLimits) {
  const policy = resultsPolicy(limits);
  const collector = new ResultCollector(policy);
  try {
    // Also of one that was cancelled meanwhile: what it displayed before is there.
    const files = new SessionFiles(session, new AbortController().signal);
    const { content } = await files.read(keptPath(id, 'display'), { length: policy.total }, policy.total);
    collector.add(content);
  } catch (error) {
    // Without a file nothing was displayed, or it is gone since.
    if (!(error instanceof GloveboxError)) throw error;
  }
  return collector.results;
}

type Kept = Partial<Record<'stdout' | 'stderr', { readonly path: string; readonly bytes: number } | undefined>>;

function describeCut(kept: Kept | undefined, outputLimit: number) {
  const cut = Object.entries(kept ?? {}).flatMap(([name, file]) =>
    file && file.bytes > outputLimit
      ? [[name, { bytes: file.bytes - outputLimit, file: file.path, file_bytes: file.bytes }]]
      : [],
  );
  return cut.length > 0 ? Object.fromEntries(cut) : undefined;
}
