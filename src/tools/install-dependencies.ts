import { z } from 'zod';
import type { ParseRequirement } from '../sessions/install.ts';
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

export interface InstallDependenciesLimits {
  readonly installTimeoutS: number;
  readonly maxTimeoutS: number;
}

const MAX_PACKAGES = 500;

const packageResult = z.object({
  name: z.string(),
  requested: z.string(),
  status: z.enum(['installed', 'already_satisfied', 'failed', 'not_attempted']),
  version: z.string().optional(),
  error: z.string().optional(),
  note: z.string().optional().describe('What to know of one that was installed.'),
});

function inputSchema({ installTimeoutS, maxTimeoutS }: InstallDependenciesLimits) {
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

export function createInstallDependencies(
  limits: InstallDependenciesLimits,
  parse: ParseRequirement,
): Tool<Input, Output> {
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
    handle: (input, context) => installDependencies(input, context, parse),
    summarize,
  };
}

async function installDependencies(
  { packages, session_id, timeout_s }: Input,
  context: ToolContext,
  parse: ParseRequirement,
): Promise<Output> {
  // Check the requirements before creating a session for them.
  for (const text of packages) parse(text);
  using lease = await leaseSession(context, session_id);
  const identity = identify(lease);
  await context.emit({ type: 'session', ...identity });
  const result = await lease.session.install(packages, {
    timeoutMs: timeout_s === undefined ? undefined : timeout_s * 1000,
    onEvent: context.emit,
    signal: context.signal,
  });
  const { status, notes, log, limit } = result;
  return {
    ...identity,
    status,
    packages: [...result.packages],
    ...(notes.length > 0 ? { notes: [...notes] } : {}),
    log,
    ...(limit ? { limit } : {}),
    ...tellReset(result),
    ...tellTimings(result),
  };
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
