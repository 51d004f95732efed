import { GloveboxError } from '../errors.ts';
import { deniedLimit, type ExecutionLimits, type MetLimit, metLimit } from '../execution/limits-met.ts';
import {
  type ExecutionEnd,
  type ExecutionStatus,
  type Executor,
  patienceFor,
  type SandboxReset,
} from '../execution/request.ts';
import type { OnEvent, ProgressEvent } from '../execution/result.ts';
import { Stopwatch, type Timings } from '../execution/stopwatch.ts';
import type { Limiter } from '../scheduling/limiter.ts';
import { type Downloads, InstallLog, type PackageResult } from './installation.ts';

/** Time limit for removing the files of an interrupted installation, in milliseconds. */
const CLEAR_LIMIT_MS = 10_000;

export interface InstallLimits extends ExecutionLimits {
  /** Default time limit of an installation, in seconds. */
  readonly installTimeoutS: number;
}

/** Valid requirement. */
export interface CheckedRequirement {
  /** Name of the package. */
  readonly name: string;
  /** Full text of the requirement. */
  readonly text: string;
}

/** Checks a requirement. @throws GloveboxError `invalid_input` */
export type ParseRequirement = (text: string) => CheckedRequirement;

/** Options of an installation. */
export interface InstallOptions {
  /** Time limit in milliseconds. Default: the setting `install_timeout_s`. */
  readonly timeoutMs?: number | undefined;
  /** Called with progress. */
  readonly onEvent?: OnEvent<ProgressEvent> | undefined;
  /** Cancels the installation. The result then has the status `cancelled`. */
  readonly signal?: AbortSignal | undefined;
}

/** Result of an installation. A failed installation has a status; it does not throw. */
export interface InstallResult extends Timings {
  /** `ok`: all packages are installed. `error`: each failed package has an error. */
  readonly status: ExecutionStatus;
  /** Results, one for each requirement, in the same order. */
  readonly packages: readonly PackageResult[];
  /** Notices of the index on installed packages, for example that a project is archived. */
  readonly notes: readonly string[];
  /** Shortened output of the installer. */
  readonly log: string;
  /** Limit that it met, and how to raise it. */
  readonly limit?: MetLimit | undefined;
  /** What the session lost, by this installation or earlier, that no earlier result reported. */
  readonly reset?: SandboxReset | undefined;
}

/** Part of a session that is needed to install packages. */
export interface Installs extends Executor {
  readonly limits: InstallLimits;
  /** Lets one installation run at a time. */
  readonly installs: Limiter;
  readonly downloads: Downloads;
}

/**
 * Installs packages into a session, after earlier installations.
 * @throws GloveboxError as `Session.execute` does
 */
export async function installPackages(
  session: Installs,
  checked: readonly CheckedRequirement[],
  { timeoutMs = session.limits.installTimeoutS * 1000, onEvent, signal = new AbortController().signal }: InstallOptions,
): Promise<InstallResult> {
  const requirements = checked.map(({ name, text: requirement }) => ({ name, requirement }));
  const stopwatch = new Stopwatch();
  const onWait = (message: string) => void onEvent?.({ type: 'progress', message, status: 'queued' });
  using _turn = await session.installs.enter({
    signal,
    patienceMs: patienceFor({ timeoutMs }),
    onWait: (ahead) => onWait(`Waiting for other installations; ${ahead} more are ahead.`),
  });
  const log = new InstallLog(requirements, (message) => void onEvent?.({ type: 'progress', message }));
  using _listening = session.downloads.listen(log);
  const end = await session.execute(
    { kind: 'install', packages: requirements },
    {
      timeoutMs,
      signal,
      onOutput: (_stream, chunk) => log.take(chunk),
      onWait,
      onBegin: () => stopwatch.begin(),
    },
  );
  const timings = stopwatch.read();
  if (end.exitCode !== 0) await clearUp(session);
  const packages = log.results(describeEnd(end));
  const limit = metLimit(end, timeoutMs, session.limits) ?? deniedLimit(log.denied, session.limits);
  return {
    status: end.status === 'ok' && packages.some(({ error }) => error !== undefined) ? 'error' : end.status,
    packages,
    notes: log.notices,
    log: log.text(),
    ...(limit ? { limit } : {}),
    ...(end.reset ? { reset: end.reset } : {}),
    ...timings,
  };
}

/** Removes the files of an interrupted installation. None of them could be imported. */
async function clearUp(session: Executor): Promise<void> {
  try {
    await session.execute(
      { kind: 'install', packages: [] },
      { timeoutMs: CLEAR_LIMIT_MS, signal: new AbortController().signal, onOutput: () => {} },
    );
  } catch (error) {
    // The session may be gone. Otherwise the next installation removes them.
    if (!(error instanceof GloveboxError)) throw error;
  }
}

/** Returns why packages without a report of the installer are missing. Undefined after a normal end. */
function describeEnd({ status, failure }: ExecutionEnd): string | undefined {
  if (status === 'ok') return undefined;
  const reasons: Partial<Record<ExecutionStatus, string>> = {
    timeout: 'The time was up before it was installed: raise timeout_s, or install fewer at once.',
    cancelled: 'The call was cancelled.',
    out_of_memory: "The session's memory was full.",
  };
  return reasons[status] ?? `The installer ended unexpectedly${failure ? `: ${failure}` : ''}.`;
}
