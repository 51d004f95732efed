import type { ExecutionRequest } from '../../execution/request.ts';
import type { ExecutionResult } from '../../execution/result.ts';
import { labelOf, traceSession } from '../../telemetry/session-spans.ts';
import { type Span, startSpan, within } from '../../telemetry/trace.ts';
import type { SessionIdentity } from '../identity.ts';
import type { InstallResult } from '../install.ts';

type Named = Pick<SessionIdentity, 'id' | 'owner'>;

/** Starts the span of a program, before it has its access: what it does with that is a part of the span. */
export function startProgramSpan(session: Named, executionId: string, request: ExecutionRequest): Span | undefined {
  const span = startSpan('glovebox.execution');
  span?.set({
    'glovebox.session.id': labelOf(session),
    'glovebox.execution.id': executionId,
    'glovebox.execution.kind': request.kind ?? 'code',
    'glovebox.execution.context': request.context !== undefined,
    'glovebox.execution.background': request.background !== undefined,
  });
  return span;
}

/** Runs a program as a part of its span, and ends that. */
export async function followProgram(
  span: Span | undefined,
  run: () => Promise<ExecutionResult>,
): Promise<ExecutionResult> {
  if (!span) return await run();
  try {
    const result = await within(span.context, run);
    span.set({ 'glovebox.execution.status': result.status, 'glovebox.execution.queued_ms': result.queuedMs });
    return result;
  } catch (error) {
    span.fail(error);
    throw error;
  } finally {
    span.end();
  }
}

/** Installs packages as a span, from the request for it to its end. What the caller asked for may be any text, and is not in it. */
export function traceInstallation(session: Named, install: () => Promise<InstallResult>): Promise<InstallResult> {
  return traceSession('glovebox.installation', session, async (span) => {
    const result = await install();
    span?.set({
      'glovebox.execution.status': result.status,
      'glovebox.execution.queued_ms': result.queuedMs,
      'glovebox.installation.packages': result.packages.length,
    });
    return result;
  });
}
