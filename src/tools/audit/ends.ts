import type { Audit } from '../../audit/audit.ts';
import { toGloveboxError } from '../../errors.ts';
import type { BackgroundEnds } from '../../sessions/attached/background-ends.ts';
import type { BackgroundExecution } from '../../sessions/background-execution.ts';
import { toOutput } from '../execution-output.ts';
import { tellOutput } from './tell-output.ts';

/** Has an audit log keep how code in the background and tasks end, until disposed of. */
export function auditEnds(ends: BackgroundEnds, audit: Audit | undefined): Disposable {
  if (!audit) return { [Symbol.dispose]() {} };
  return ends.watch(({ id: session, owner }, execution) => {
    const { id, startedAt } = execution;
    const head = { event: 'end', began: startedAt.toISOString(), owner, session, execution: id } as const;
    const { execution: _, ...told } = tellEnd(execution);
    void audit.record({ ...head, ...told, duration_ms: Date.now() - startedAt.getTime() });
  });
}

function tellEnd({ outcome }: BackgroundExecution): ReturnType<typeof tellOutput> {
  if (outcome && 'result' in outcome) return tellOutput(toOutput(outcome.result));
  return { outcome: 'failed', error: toGloveboxError(outcome?.error).code };
}
