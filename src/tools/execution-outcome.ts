import { constants } from 'node:os';
import type { FullReport } from '../execution/report.ts';
import type { ExecutionEnd } from '../execution/request.ts';
import { tellReset } from './common-fields.ts';
import type { ExecutionOutput } from './execution-output.ts';
import type { ExecutionLimits } from './limit-output.ts';

/** Rich results of one execution, in times the limit of one. */
const RESULTS_IN_ALL = 4;
const NAME = /^\w[\w.-]{0,99}$/;
/** By what the runner says. */
const HINTS = new Map([
  ['notebook', 'This is notebook syntax: pass context: "main" to run it.'],
  [
    'line_ends',
    'The code has \\n, a backslash and an n, where lines should end: send real line ends, escaped once in JSON.',
  ],
  ['stdin', 'There is no standard input: pass what the code is to read in "stdin", a line for each input().'],
  ['stdin_end', 'The standard input has fewer lines than the code reads: pass a line for each input() in "stdin".'],
]);

type Missing = NonNullable<NonNullable<FullReport['error']>['missing']>;

export interface ExecutePythonLimits extends ExecutionLimits {
  /** Bytes of code, and of stdin. */
  readonly codeLimit: number;
  /** Bytes of each output stream in a result. */
  readonly outputLimit: number;
  /** Bytes of each longer stream that the session keeps in a file. */
  readonly outputKeepLimit: number;
  /** Bytes of one rich result. */
  readonly resultLimit: number;
}

export function resultsPolicy({ resultLimit }: ExecutePythonLimits): { limit: number; total: number } {
  return { limit: resultLimit, total: resultLimit * RESULTS_IN_ALL };
}

export function toOutcome(end: ExecutionEnd, limit: ExecutionOutput['limit']) {
  const { report } = end;
  const stacks = end.status === 'timeout' && report?.stacks.length ? { stacks: report.stacks } : {};
  return {
    status: end.status,
    exit_code: end.exitCode,
    ...(end.status === 'crashed' && report?.signal ? { signal: nameOfSignal(report.signal) } : {}),
    ...(report?.error && end.status !== 'ok' ? { error: describeError(report.error) } : {}),
    files: report?.files ?? [],
    ...(end.termination ? { termination: { by: end.termination, ...stacks } } : {}),
    ...(limit ? { limit } : {}),
    ...tellReset(end),
    ...(report ? { cpu_ms: report.cpu_ms, peak_memory_bytes: report.peak_memory_bytes } : {}),
  };
}

function describeError({
  denied: _,
  hint,
  missing,
  ...error
}: NonNullable<FullReport['error']>): NonNullable<ExecutionOutput['error']> {
  const advice = HINTS.get(hint ?? '') ?? (missing && describeMissing(missing));
  return advice === undefined ? error : { ...error, hint: advice };
}

/** Undefined where the sandbox, which is hostile, says no names. */
function describeMissing({ module, package: name, known }: Missing): string | undefined {
  if (!NAME.test(module) || !NAME.test(name)) return undefined;
  const call = `call install_dependencies with packages ["${name}"]`;
  if (known && module === name) return `The package ${name} is not installed: ${call}, then run this again.`;
  if (known) return `The module ${module} comes with the package ${name}: ${call}, then run this again.`;
  return `If the package ${name} of the index is meant, ${call}; a module of your own has to be a file in /workspace.`;
}

function nameOfSignal(number: number): string {
  return Object.entries(constants.signals).find(([, value]) => value === number)?.[0] ?? `signal ${number}`;
}
