import type { FullReport } from './report.ts';

const NAME = /^\w[\w.-]{0,99}$/;
/** Hints, by the kind of advice that the runner names. */
const HINTS = new Map([
  ['notebook', 'This is notebook syntax. Pass context: "main" to run it.'],
  [
    'line_ends',
    'The code has \\n, a backslash and an n, where lines should end. Send real line ends, escaped once in JSON.',
  ],
  [
    'stdin',
    'There is no standard input. To provide it, pass what the code is to read in "stdin", with a line for each input().',
  ],
  ['stdin_end', 'The standard input has fewer lines than the code reads. Pass a line for each input() in "stdin".'],
]);
/** Exceptions of code that misses a file or module of an earlier call. */
const MISSING = ['FileNotFoundError', 'ModuleNotFoundError'];

type ReportedError = NonNullable<FullReport['error']>;

/** Returns advice on an error, if there is any. */
export function hintFor(
  { name, hint, missing }: ReportedError,
  session: { readonly sessionId: string; readonly sessionCreated?: true | undefined },
): string | undefined {
  const hints = [
    HINTS.get(hint ?? '') ?? (missing && describeMissing(missing)),
    // The caller may have meant an older session, which has the missing file or module.
    session.sessionCreated && MISSING.includes(name) ? describeEmpty(session.sessionId) : undefined,
  ];
  return hints.filter(Boolean).join(' ') || undefined;
}

function describeEmpty(sessionId: string): string {
  return `The session ${sessionId} is new and empty: for the files and packages of an earlier call, pass the session_id of that call.`;
}

/** Describes a missing module. Undefined if the names are not valid: they come from the sandbox, which is not trusted. */
function describeMissing({ module, package: name, known }: NonNullable<ReportedError['missing']>): string | undefined {
  if (!NAME.test(module) || !NAME.test(name)) return undefined;
  const call = `call install_dependencies with packages ["${name}"]`;
  if (known && module === name) return `The package ${name} is not installed: ${call}, then run this again.`;
  if (known) return `The module ${module} is part of the package ${name}: ${call}, then run this again.`;
  return `If you mean the package ${name} of the index, ${call}. A module of your own must be a file in /workspace.`;
}
