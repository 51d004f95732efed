import { GloveboxError } from '../errors.ts';
import { type Display, DisplayCollector, type DisplayLimits } from '../execution/displays.ts';
import { ExecutionClock } from '../execution/execution-clock.ts';
import { type ExecutionLimits, metLimit } from '../execution/limits-met.ts';
import { outputPath } from '../execution/output-path.ts';
import type { FullReport, KeptFile } from '../execution/report.ts';
import type { ExecutionEnd, ExecutionOptions, ExecutionRequest, Executor, SandboxReset } from '../execution/request.ts';
import {
  type CutStream,
  type ExecutionIdentity,
  type ExecutionResult,
  type Truncated,
  toResult,
} from '../execution/result.ts';
import { round, type Timings } from '../execution/stopwatch.ts';
import { SessionFiles } from '../files/session-files.ts';
import type { RunningExecution } from '../protocol/greeting.ts';
import type { BackgroundExecutions } from './background-executions.ts';
import type { BackgroundRecord, BackgroundRecords } from './background-records.ts';
import { type AccessSession, type ExecutionAccess, reopenAccess } from './grants/execution-access.ts';
import { fromRecordedAccess } from './grants/recorded-access.ts';
import { ProgramControl } from './processes/program-control.ts';

/** Size of all displays of one execution, as a multiple of the limit of one display. */
const DISPLAYS_IN_ALL = 4;

/** Returns the limits for displays of one execution. */
export function displayLimits({ resultLimit }: { readonly resultLimit: number }): DisplayLimits {
  return { limit: resultLimit, total: resultLimit * DISPLAYS_IN_ALL };
}

/** Part of a session that is needed to read the result of an execution. */
export interface ReadsResults extends Executor {
  readonly limits: ExecutionLimits & { readonly resultLimit: number };
  readonly contexts: { readonly names: string[] };
}

/** Ended execution whose output did not pass through this control plane. */
interface EndedExecution {
  readonly identity: ExecutionIdentity;
  readonly timeoutMs: number;
  readonly end: ExecutionEnd;
  readonly timings: Timings;
}

/**
 * Reads the result of an execution that an earlier control plane or connection began. It contains displays, and the sizes
 * of text streams. Their text can be read from files.
 */
export async function readResult(
  session: ReadsResults,
  { identity, timeoutMs, end, timings }: EndedExecution,
): Promise<ExecutionResult> {
  const displays = end.report ? await readDisplays(session, identity.executionId) : [];
  const truncated = describeCut(end.report?.kept);
  const output = {
    stdout: '',
    stderr: end.failure === undefined ? '' : `${end.failure}\n`,
    ...(displays.length > 0 ? { displays } : {}),
    ...(truncated ? { truncated } : {}),
  };
  const contexts = session.contexts.names;
  const limit = metLimit(end, timeoutMs, session.limits, { stderr: output.stderr, contexts });
  return toResult({ identity, end, limit, contexts: session.contexts, output, timings });
}

async function readDisplays(session: ReadsResults, id: string): Promise<readonly Display[]> {
  const limits = displayLimits(session.limits);
  const collector = new DisplayCollector(limits);
  try {
    // Not cancelled with the execution: objects displayed before the cancellation can still be read.
    const files = new SessionFiles(session, new AbortController().signal);
    const { content } = await files.read(outputPath(id, 'display'), { length: limits.total }, limits.total);
    collector.add(content);
  } catch (error) {
    // Without a file, nothing was displayed, or the file was deleted.
    if (!(error instanceof GloveboxError)) throw error;
  }
  return collector.results;
}

/** Describes streams as left out completely, with their files and sizes. */
function describeCut({ stdout, stderr }: NonNullable<FullReport['kept']> = {}): Truncated | undefined {
  return stdout || stderr
    ? { ...(stdout ? { stdout: cutOf(stdout) } : {}), ...(stderr ? { stderr: cutOf(stderr) } : {}) }
    : undefined;
}

function cutOf({ path, bytes, total = bytes }: KeptFile): CutStream {
  const inAll = Math.max(bytes, total);
  return { leftOutBytes: inAll, totalBytes: inAll, file: path, fileBytes: bytes };
}

/** Part of a session that is needed to recover its background executions. */
export interface RecoveredSession extends ReadsResults, AccessSession {
  readonly background: BackgroundExecutions;
  readonly records: BackgroundRecords;
  resume(
    execution: RunningExecution,
    request: ExecutionRequest,
    options: Pick<ExecutionOptions, 'timeoutMs' | 'clock' | 'signal'>,
  ): Promise<ExecutionEnd>;
}

/**
 * Restores the recorded background executions of a session.
 * @param running executions that its runner still has, by id
 * @param reason why other executions are lost
 * @returns whether any execution is lost
 */
export function recoverBackground(
  session: RecoveredSession,
  running: ReadonlyMap<string, RunningExecution>,
  reason: SandboxReset['reason'],
): boolean {
  const records = session.records.readAll();
  for (const known of records) {
    const execution = running.get(known.id);
    // What its runner tells is more than a summary.
    const { result: _, ...unended } = known;
    const record = known.summary && execution ? unended : known;
    const clock = new ExecutionClock();
    const access = execution && reopen(session, record, clock);
    const control = execution && new ProgramControl({ isInputOpen: record.stdin_open === true });
    const run = (signal: AbortSignal) => follow(session, { record, execution, reason, clock, access, control }, signal);
    session.background.recover(record, run, { access, control });
  }
  // Executions without a record cannot be found by any caller, so end them.
  const known = new Set(records.map(({ id }) => id));
  for (const [id, { channel }] of running) if (!known.has(id)) channel.kill();
  return records.some(({ id, result, error }) => !result && !error && !running.has(id));
}

/** Gives an execution that still runs the access again that it had. */
function reopen(
  session: RecoveredSession,
  record: BackgroundRecord,
  clock: ExecutionClock,
): ExecutionAccess | undefined {
  if (record.result || record.error) return undefined;
  return reopenAccess(session, record.id, fromRecordedAccess(record), clock);
}

interface Recovered {
  readonly record: BackgroundRecord;
  /** Undefined if its runner does not have it any more. */
  readonly execution: RunningExecution | undefined;
  readonly reason: SandboxReset['reason'];
  readonly clock: ExecutionClock;
  readonly control: ProgramControl | undefined;
  readonly access: ExecutionAccess | undefined;
}

/** Follows an execution that an earlier control plane began. Returns its result. */
async function follow(session: RecoveredSession, recovered: Recovered, signal: AbortSignal): Promise<ExecutionResult> {
  const { access } = recovered;
  const end = () => access?.[Symbol.dispose]();
  signal.addEventListener('abort', end, { once: true });
  try {
    const result = await followToEnd(session, recovered, signal);
    return access?.tellIn(result) ?? result;
  } finally {
    end();
  }
}

async function followToEnd(
  session: RecoveredSession,
  { record, execution, reason, clock, control }: Recovered,
  signal: AbortSignal,
): Promise<ExecutionResult> {
  const identity = { sessionId: session.id, executionId: record.id };
  const timeoutMs = record.timeout_s * 1000;
  if (!execution) {
    const failure = 'It was lost with the server that had begun it.';
    const end = { status: 'crashed', exitCode: null, failure, reset: { reason, lost: ['background'] } } as const;
    return await readResult(session, { identity, timeoutMs, end, timings: { durationMs: 0 } });
  }
  const begun = Date.parse(record.began_at ?? record.started_at);
  const adoptedAt = Date.now();
  const background = { timeout_s: record.timeout_s };
  const request = {
    background,
    ...(record.kind === 'command' ? { kind: record.kind } : {}),
    ...(record.context === undefined ? {} : { context: record.context }),
  };
  const resumed = performance.now();
  const end = await session.resume(execution, request, {
    ...{ timeoutMs: begun + timeoutMs - adoptedAt, clock, signal, onRunning: control?.attach },
    ...(control?.input ? { stdin: control.input } : {}),
  });
  // Only the sandbox knows how long it ran without a control plane. Its value is limited to what is possible.
  const ranMs = Math.min(execution.ranMs, Math.max(0, adoptedAt - begun));
  const durationMs = round(ranMs + (execution.ended ? 0 : performance.now() - resumed));
  return await readResult(session, { identity, timeoutMs, end, timings: { durationMs } });
}
