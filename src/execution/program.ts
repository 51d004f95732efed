/** A command to run in a session. */
export interface Command {
  /** A command line for the shell of the image; or a program and its arguments, which no shell looks at. */
  readonly command: string | readonly string[];
  /** Folder that it runs in, relative to the workspace. Default: the workspace. */
  readonly cwd?: string | undefined;
}

/** What an execution runs: Python source, or a command. */
export type Program = string | Command;

/** Sort of a program. */
export type ProgramKind = 'code' | 'command';

/** What is known of a program after it was given to a sandbox. */
export interface ProgramHead {
  readonly kind: ProgramKind;
  /** Beginning of its code, or of its command. */
  readonly code: string;
}

/** Bytes of the longest argument that Linux passes to a program. */
export const LONGEST_ARGUMENT = 128 * 1024 - 1;

/** Characters of a program in lists of background executions. */
export const LISTED_LENGTH = 200;

const PLAIN_WORD = /^[\w%+,./:=@-]+$/;

export function isCommand(program: Program): program is Command {
  return typeof program !== 'string';
}

/** Returns a program as people read it: source as it is, and arguments as one would write them in a shell. */
export function textOf(program: Program): string {
  if (!isCommand(program)) return program;
  const { command } = program;
  if (typeof command === 'string') return command;
  return command.map((word) => (PLAIN_WORD.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`)).join(' ');
}

/** @param length characters of its text at most */
export function headOf(program: Program, length: number): ProgramHead {
  const text = textOf(program);
  // A part of a string keeps the whole of it in memory, so it is copied.
  const code = text.length <= length ? text : Buffer.from(text.slice(0, length).toWellFormed()).toString();
  return { kind: isCommand(program) ? 'command' : 'code', code };
}

/** Returns why a command cannot be run; undefined if it can. */
export function whyInvalidCommand({ command, cwd }: Command): string | undefined {
  const words = typeof command === 'string' ? [command] : command;
  if (words.length === 0 || words[0]?.trim() === '') return 'The command is empty.';
  if ([...words, cwd ?? ''].some((word) => word.includes('\0') || !word.isWellFormed()))
    return 'The command or its folder holds a NUL character or a lone surrogate, which no program can be given.';
  if (cwd === '') return 'The folder of the command is empty; leave it out for the workspace.';
  if (typeof command !== 'string' && words.some((word) => Buffer.byteLength(word) > LONGEST_ARGUMENT))
    return `An argument is longer than ${LONGEST_ARGUMENT} bytes, the most that Linux passes to a program; send it as standard input, or as a file.`;
  return undefined;
}
