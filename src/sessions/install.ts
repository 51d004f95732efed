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

/** Milliseconds for removing what an installation that was cut off has left. */
const CLEAR_LIMIT_MS = 10_000;

export interface InstallLimits extends ExecutionLimits {
  /** Seconds until an installation is given up, if its caller does not say. */
  readonly installTimeoutS: number;
}

/** A requirement that was checked. */
export interface CheckedRequirement {
  /** The name of the package that it is for. */
  readonly name: string;
  /** The whole of it. */
  readonly text: string;
}

/** Checks a requirement. @throws GloveboxError `invalid_input` */
export type ParseRequirement = (text: string) => CheckedRequirement;

/** How packages are to be installed. */
export interface InstallOptions {
  /** Milliseconds until it is given up; `install_timeout_s` of the settings if left out. */
  readonly timeoutMs?: number | undefined;
  /** Hears of progress as it comes. */
  readonly onEvent?: OnEvent<ProgressEvent> | undefined;
  /** Cancels the installation; its result then says `cancelled`. */
  readonly signal?: AbortSignal | undefined;
}

/** What came of an installation. A bad end is a status; it is not thrown. */
export interface InstallResult extends Timings {
  /** `ok`: all packages are there. `error`: see the error of each that failed. */
  readonly status: ExecutionStatus;
  /** One for each requirement, in their order. */
  readonly packages: readonly PackageResult[];
  /** What the index says of packages that were installed: archived, deprecated. */
  readonly notes: readonly string[];
  /** The installer's own words, shortened. */
  readonly log: string;
  /** The limit that it met, and what raises it. */
  readonly limit?: MetLimit | undefined;
  /** What the session lost, by this installation or before it, that nobody was told of yet. */
  readonly reset?: SandboxReset | undefined;
}

/** A session, as far as installing packages into it goes. */
export interface Installs extends Executor {
  readonly limits: InstallLimits;
  /** Lets one installation after the other begin. */
  readonly installs: Limiter;
  readonly downloads: Downloads;
}

/**
 * Installs packages into a session, after the installations that wait before it.
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

/** Frees the disk of what an installation that was cut off has left; none of it could be imported. */
async function clearUp(session: Executor): Promise<void> {
  try {
    await session.execute(
      { kind: 'install', packages: [] },
      { timeoutMs: CLEAR_LIMIT_MS, signal: new AbortController().signal, onOutput: () => {} },
    );
  } catch (error) {
    // The next installation clears up as well; the session may also be gone.
    if (!(error instanceof GloveboxError)) throw error;
  }
}

/** Why packages of which the installer said nothing are not there; undefined after an orderly end. */
function describeEnd({ status, failure }: ExecutionEnd): string | undefined {
  if (status === 'ok') return undefined;
  const reasons: Partial<Record<ExecutionStatus, string>> = {
    timeout: 'The time was up before it was installed: raise timeout_s, or install fewer at once.',
    cancelled: 'The call was cancelled.',
    out_of_memory: "The session's memory was full.",
  };
  return reasons[status] ?? `The installer ended unexpectedly${failure ? `: ${failure}` : ''}.`;
}
