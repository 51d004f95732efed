import { GloveboxError } from '../../errors.ts';
import { isCommand, type Program, whyInvalidCommand } from '../../execution/program.ts';
import type { ExecutionRequest, KeepPolicy } from '../../execution/request.ts';
import { toSeconds } from '../../execution/stopwatch.ts';
import { needNewInterpreter, whyRefused } from '../../execution/variables.ts';
import { displayLimits } from '../background-result.ts';
import { isStream, type ProgramOptions, type RunLimits, type RunOptions, type StartOptions } from './run-options.ts';

/** Fraction of the session's disk that files of long output may use. */
const KEPT_PART = 1 / 4;
const MIB = 1024 * 1024;
const SHORTEST_TIMEOUT_MS = 1;
const CONTEXT_NAME = /^[A-Za-z0-9_-]{1,64}$/;
const VARIABLE_NAME = /^[A-Za-z_][A-Za-z0-9_]{0,127}$/;

export interface ProgramCall {
  readonly program: Program;
  readonly options: Pick<RunOptions, keyof ProgramOptions | 'stdin'> & Pick<StartOptions, 'stdinOpen'>;
  readonly timeoutMs: number;
  readonly limits: RunLimits;
}

/** Checks what is to run, and how. @throws GloveboxError `invalid_input` */
export function checkProgram(call: ProgramCall): void {
  const problem =
    whyInvalid(call) ?? whyNoContext(call) ?? (isCommand(call.program) ? whyNoCommand(call) : whyNoCode(call));
  if (problem !== undefined) throw new GloveboxError('invalid_input', problem);
}

/** Makes the request for a checked program. */
export function toRequest(call: ProgramCall, executionId: string, isBackground: boolean): ExecutionRequest {
  const { program, options, timeoutMs, limits } = call;
  const { context, resetContext, args = [], stdin, stdinOpen, env } = options;
  return {
    ...(isCommand(program) ? commandFields(program) : codeFields(program, call)),
    ...(context === undefined ? {} : { context }),
    ...(context !== undefined && resetContext ? { end_context: context } : {}),
    ...(args.length > 0 ? { args } : {}),
    // Input that stays open begins with the text.
    ...(typeof stdin === 'string' && !stdinOpen ? { stdin } : {}),
    ...(isStream(stdin) || stdinOpen ? { stdin_stream: true } : {}),
    ...(env ? { env } : {}),
    keep: keepPolicy(executionId, limits, isBackground),
    ...(isBackground ? { background: { timeout_s: toSeconds(timeoutMs) } } : {}),
  };
}

function codeFields(code: string, { options: { env, context }, limits }: ProgramCall): Partial<ExecutionRequest> {
  const isNew = env && context === undefined && needNewInterpreter(Object.keys(env));
  return { code, ...(isNew ? { new_interpreter: true } : {}), results: displayLimits(limits) };
}

function commandFields({ command, cwd }: Exclude<Program, string>): Partial<ExecutionRequest> {
  return { kind: 'command', command, ...(cwd === undefined ? {} : { cwd }) };
}

function whyInvalid({
  options: { args = [], env = {} },
  timeoutMs,
  limits: { maxTimeoutS },
}: ProgramCall): string | undefined {
  if (!(timeoutMs >= SHORTEST_TIMEOUT_MS && timeoutMs <= maxTimeoutS * 1000))
    return `timeoutMs is from ${SHORTEST_TIMEOUT_MS} to ${maxTimeoutS * 1000}, not ${timeoutMs}.`;
  if (args.some((arg) => arg.includes('\0') || !arg.isWellFormed()))
    return 'An argument holds a NUL character or a lone surrogate, which no program can be given.';
  const wrong = Object.keys(env).find((name) => !VARIABLE_NAME.test(name));
  if (wrong !== undefined) return cannotSet(wrong, 'it is no name');
  const [unfit] = Object.entries(env).find(([, value]) => value.includes('\0') || !value.isWellFormed()) ?? [];
  return unfit === undefined ? undefined : cannotSet(unfit, 'it holds a NUL character or a lone surrogate');
}

/** Returns what is wrong with a context, of code or of commands. */
function whyNoContext({ options: { context, resetContext, stdin, stdinOpen } }: ProgramCall): string | undefined {
  if (context !== undefined && !CONTEXT_NAME.test(context))
    return 'The name of a context is 1 to 64 letters, digits, "_" or "-".';
  if (context === undefined && resetContext) return 'There is no context named; say which is to start anew.';
  if (context !== undefined && stdinOpen) return 'The standard input of a context does not stay open.';
  if (context !== undefined && isStream(stdin)) return 'A context takes its standard input as text, not as a stream.';
  return undefined;
}

function whyNoCommand({ program, options: { args = [] } }: ProgramCall): string | undefined {
  if (args.length > 0) return 'A command contains its arguments: send them as a list with it.';
  return isCommand(program) ? whyInvalidCommand(program) : undefined;
}

function whyNoCode({ options: { context, args = [], env = {} } }: ProgramCall): string | undefined {
  if (context !== undefined && args.length > 0) return 'A context has no arguments: leave out one of the two.';
  for (const [name, value] of Object.entries(env)) {
    const problem = whyRefused(name, value, context !== undefined);
    if (problem) return cannotSet(name, problem);
  }
  return undefined;
}

function cannotSet(name: string, problem: string): string {
  return `The variable ${JSON.stringify(name.slice(0, 64))} cannot be set: ${problem}.`;
}

/** Returns how to keep long output. The file of a background execution begins at once, because it is read while it runs. */
function keepPolicy(id: string, limits: RunLimits, isBackground: boolean): KeepPolicy {
  const total = Math.floor(limits.diskMb * MIB * KEPT_PART);
  const limit = Math.min(limits.outputKeepLimit, Math.floor(total / 2));
  return { id, inline: isBackground ? 0 : limits.outputLimit, limit, total };
}
