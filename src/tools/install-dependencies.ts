import { z } from 'zod';
import { GloveboxError } from '../errors.ts';
import { deniedLimit, type ExecutionLimits, metLimit } from '../execution/limits-met.ts';
import type { ExecutionEnd } from '../execution/request.ts';
import { patienceFor } from '../execution/request.ts';
import { Stopwatch } from '../execution/stopwatch.ts';
import { InstallLog } from '../sessions/installation.ts';
import type { Session } from '../sessions/sessions.ts';
import {
  identify,
  sessionIdInput,
  sessionLines,
  sessionOutput,
  tellReset,
  tellTimings,
  timingsOutput,
} from './common-fields.ts';
import { leaseSession } from './lease-session.ts';
import { describeLimit, limitOutput } from './limit-output.ts';
import type { Tool, ToolContext } from './tool.ts';

export interface InstallLimits extends ExecutionLimits {
  readonly installTimeoutS: number;
}

/** A requirement that was checked: the name it is for, and the whole of it. @throws GloveboxError `invalid_input`. */
export type ParseRequirement = (text: string) => { readonly name: string; readonly text: string };

const MAX_PACKAGES = 500;
/** For removing what an installation that was cut off has left. */
const CLEAR_LIMIT_MS = 10_000;

const packageResult = z.object({
  name: z.string(),
  requested: z.string(),
  status: z.enum(['installed', 'already_satisfied', 'failed', 'not_attempted']),
  version: z.string().optional(),
  error: z.string().optional(),
  note: z.string().optional().describe('What to know of one that was installed.'),
});

function inputSchema({ installTimeoutS, maxTimeoutS }: InstallLimits) {
  return z.strictObject({
    packages: z
      .array(z.string().min(1).max(1000))
      .min(1)
      .max(MAX_PACKAGES)
      .describe(
        'Names, with version specifiers and extras if wanted: "requests", "numpy>=2", "uvicorn[standard]==0.30".',
      ),
    session_id: sessionIdInput,
    timeout_s: z
      .number()
      .min(0.001)
      .max(maxTimeoutS)
      .optional()
      .describe(`Seconds until it is given up; ${installTimeoutS} by default.`),
  });
}

const outputSchema = z.object({
  ...sessionOutput,
  status: z
    .enum(['ok', 'error', 'timeout', 'cancelled', 'out_of_memory', 'crashed'])
    .describe('"ok": all are there; "error": see the error of each that failed.'),
  packages: z.array(packageResult),
  notes: z
    .array(z.string())
    .optional()
    .describe('What the index says of packages that were installed: archived, deprecated.'),
  log: z.string().describe("The installer's own words, shortened."),
  limit: limitOutput,
  ...timingsOutput,
});

type Input = z.infer<ReturnType<typeof inputSchema>>;
type Output = z.infer<typeof outputSchema>;

export function createInstallDependencies(limits: InstallLimits, parse: ParseRequirement): Tool<Input, Output> {
  return {
    name: 'install_dependencies',
    title: 'Install Python packages',
    description: [
      'Install Python packages into the session; the next execute_python of that session can import them.',
      'Only names with optional extras and version specifiers; no URLs, paths or pip options.',
      'What can be installed is, even if others fail: read the error of each that failed.',
      'Many common packages may be there already: list_installed_packages tells.',
    ].join(' '),
    effect: 'changes',
    reachesOut: true,
    input: inputSchema(limits),
    output: outputSchema,
    handle: (input, context) => installDependencies(input, context, limits, parse),
    summarize,
  };
}

async function installDependencies(
  input: Input,
  context: ToolContext,
  limits: InstallLimits,
  parse: ParseRequirement,
): Promise<Output> {
  const requirements = input.packages.map((text) => {
    const { name, text: requirement } = parse(text);
    return { name, requirement };
  });
  using lease = await leaseSession(context, input.session_id);
  const { session } = lease;
  const identity = identify(lease);
  await context.emit({ type: 'session', ...identity });
  const timeoutS = input.timeout_s ?? limits.installTimeoutS;
  const timeoutMs = timeoutS * 1000;
  const stopwatch = new Stopwatch();
  const onWait = (message: string) => void context.emit({ type: 'progress', message, status: 'queued' });
  using _turn = await session.installs.enter({
    signal: context.signal,
    patienceMs: patienceFor({ timeoutMs }),
    onWait: (ahead) => onWait(`Waiting for other installations; ${ahead} more are ahead.`),
  });
  const log = new InstallLog(requirements, (message) => void context.emit({ type: 'progress', message }));
  using _listening = session.downloads.listen(log);
  const end = await session.execute(
    { kind: 'install', packages: requirements },
    {
      timeoutMs,
      signal: context.signal,
      onOutput: (_stream, chunk) => log.take(chunk),
      onWait,
      onBegin: () => stopwatch.begin(),
    },
  );
  const timings = stopwatch.read();
  if (end.exitCode !== 0) await clearUp(session);
  const packages = log.results(describeEnd(end));
  const limit = metLimit(end, timeoutMs, limits) ?? deniedLimit(log.denied, limits);
  return {
    ...identity,
    status: end.status === 'ok' && packages.some(({ error }) => error !== undefined) ? 'error' : end.status,
    packages,
    ...(log.notices.length > 0 ? { notes: log.notices } : {}),
    log: log.text(),
    ...(limit ? { limit } : {}),
    ...tellReset(end),
    ...tellTimings(timings),
  };
}

/** Frees the disk of what an installation that was cut off has left; none of it could be imported. */
async function clearUp(session: Session): Promise<void> {
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
  const reasons: Partial<Record<ExecutionEnd['status'], string>> = {
    timeout: 'The time was up before it was installed: raise timeout_s, or install fewer at once.',
    cancelled: 'The call was cancelled.',
    out_of_memory: "The session's memory was full.",
  };
  return reasons[status] ?? `The installer ended unexpectedly${failure ? `: ${failure}` : ''}.`;
}

function summarize(output: Output): string {
  const lines = output.packages.map(({ requested, status, version, error, note }) =>
    [
      `${requested}: ${status}`,
      version && status !== 'failed' ? ` ${version}` : '',
      ...[error, note].map((words) => (words ? ` (${words})` : '')),
    ].join(''),
  );
  const { limit } = output;
  return [
    ...lines,
    `[${output.status}] ${output.duration_ms} ms${limit ? `; ${describeLimit(limit)}` : ''}`,
    ...(output.notes ?? []).map((note) => `[note] ${note}`),
    ...(output.log ? [`[log]\n${output.log}`] : []),
    sessionLines(output),
  ].join('\n');
}
