import { inOrder } from '../execution/losses.ts';
import type { ExecutionEnd, Losable, SandboxReset } from '../execution/request.ts';
import type { RunnerState } from '../protocol/greeting.ts';
import type { BackgroundRecord } from './background-records.ts';
import type { Session } from './session.ts';

/** What there is of a session of an earlier control plane. */
export interface Remains {
  /** Its contexts, as far as that control plane had noted. */
  readonly contexts: readonly string[];
  /** What its runner still has; undefined when every process is gone. */
  readonly runnerState?: RunnerState | undefined;
  /** Why its sandbox is gone, with all that was in it; left out where it is there. */
  readonly sandboxLost?: 'sandbox_lost' | 'runner_incompatible';
}

/** A background execution that an earlier control plane began. */
export interface RecoveredExecution {
  readonly id: string;
  readonly timeoutS: number;
  /** Follows it to its end. */
  follow(signal: AbortSignal): Promise<{ readonly end: ExecutionEnd; readonly durationMs: number }>;
}

/** Makes the tool's output of it. */
export type FinishExecution = (
  session: Session,
  job: RecoveredExecution,
  signal: AbortSignal,
) => Promise<Record<string, unknown>>;

/** Gives a session back its contexts and background executions; what was lost of them, for its next result to tell. */
export function recoverSession(session: Session, remains: Remains, finish: FinishExecution): SandboxReset | undefined {
  const { runnerState: adopted, sandboxLost } = remains;
  const reason = sandboxLost ?? 'runner_lost';
  const lost = new Set<Losable>(sandboxLost ? ['files', 'packages', 'background'] : []);
  if (session.contexts.restore(remains.contexts, adopted?.contexts ?? [])) lost.add('contexts');
  const records = session.records?.readAll() ?? [];
  for (const record of records) {
    const isLeft = !record.result && !record.error;
    if (isLeft && !adopted?.executions.has(record.id)) lost.add('background');
    const job = { id: record.id, timeoutS: record.timeout_s, follow: follower(session, record, adopted, reason) };
    session.background.restore(record, (signal) => finish(session, job, signal));
  }
  // Nobody would hear of those that nothing is known of.
  const known = new Set(records.map(({ id }) => id));
  for (const [id, { channel }] of adopted?.executions ?? []) if (!known.has(id)) channel.kill();
  return lost.size > 0 ? { reason, lost: inOrder(lost) } : undefined;
}

function follower(
  session: Session,
  record: BackgroundRecord,
  adopted: RunnerState | undefined,
  reason: SandboxReset['reason'],
): RecoveredExecution['follow'] {
  const begun = Date.parse(record.began_at ?? record.started_at);
  const execution = adopted?.executions.get(record.id);
  return async (signal) => {
    if (!execution) {
      const failure = 'It was lost with the server that had begun it.';
      const reset = { reason, lost: ['background' as const] };
      return { end: { status: 'crashed', exitCode: null, failure, reset }, durationMs: 0 };
    }
    const adoptedAt = Date.now();
    const timeoutMs = begun + record.timeout_s * 1000 - adoptedAt;
    const background = { timeout_s: record.timeout_s };
    const request = { background, ...(record.context === undefined ? {} : { context: record.context }) };
    const resumed = performance.now();
    const end = await session.resume(execution, request, { timeoutMs, signal });
    // Its own clock knows how long it ran while nobody was here, but is not believed beyond what is possible.
    const ranMs = Math.min(execution.ranMs, Math.max(0, adoptedAt - begun));
    return { end, durationMs: ranMs + (execution.ended ? 0 : performance.now() - resumed) };
  };
}
