import type { FullReport } from './report.ts';

const NAME = /^\w[\w.-]{0,99}$/;
/** Hints, by the kind of advice that the runner says helps. */
const HINTS = new Map([
  ['notebook', 'This is notebook syntax: pass context: "main" to run it.'],
  [
    'line_ends',
    'The code has \\n, a backslash and an n, where lines should end: send real line ends, escaped once in JSON.',
  ],
  ['stdin', 'There is no standard input: pass what the code is to read in "stdin", a line for each input().'],
  ['stdin_end', 'The standard input has fewer lines than the code reads: pass a line for each input() in "stdin".'],
]);
/** Exceptions by which code misses what an earlier call made. */
const MISSING = ['FileNotFoundError', 'ModuleNotFoundError'];

type ReportedError = NonNullable<FullReport['error']>;

/** What to do about an error, where that is known. */
export function hintFor(
  { name, hint, missing }: ReportedError,
  session: { readonly sessionId: string; readonly sessionCreated?: true | undefined },
): string | undefined {
  const hints = [
    HINTS.get(hint ?? '') ?? (missing && describeMissing(missing)),
    // What is missing in a session that has just been made may be in the one that the caller meant.
    session.sessionCreated && MISSING.includes(name) ? describeEmpty(session.sessionId) : undefined,
  ];
  return hints.filter(Boolean).join(' ') || undefined;
}

function describeEmpty(sessionId: string): string {
  return `The session ${sessionId} is new and empty: for files and packages of an earlier call, pass the session_id that it named.`;
}

/** Undefined where the sandbox, which is hostile, says no names. */
function describeMissing({ module, package: name, known }: NonNullable<ReportedError['missing']>): string | undefined {
  if (!NAME.test(module) || !NAME.test(name)) return undefined;
  const call = `call install_dependencies with packages ["${name}"]`;
  if (known && module === name) return `The package ${name} is not installed: ${call}, then run this again.`;
  if (known) return `The module ${module} comes with the package ${name}: ${call}, then run this again.`;
  return `If the package ${name} of the index is meant, ${call}; a module of your own has to be a file in /workspace.`;
}
