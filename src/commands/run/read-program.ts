import { readFileSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { GloveboxError } from '../../errors.ts';

/** Program to run, as the command line names it. */
export interface NamedProgram {
  /** Path of its file; `-` is standard input. Undefined with `code`. */
  readonly file?: string | undefined;
  readonly code?: string | undefined;
}

/** Reads the code of a program. @throws GloveboxError `file_not_found`, `invalid_input` */
export async function readProgram({ file = '-', code }: NamedProgram): Promise<string> {
  if (code !== undefined) return code;
  if (file === '-') return await text(process.stdin);
  return decode(file, readFile(file));
}

function readFile(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const why =
      code === 'ENOENT' ? 'There is no file' : code === 'EISDIR' ? 'This is a folder:' : `${code}: cannot read`;
    throw new GloveboxError('file_not_found', `${why} ${file}.`, {
      hint: "Name a Python file, write code after -c, or - for standard input: glovebox run -c 'print(1)'",
      cause,
    });
  }
}

function decode(file: string, bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: false }).decode(bytes);
  } catch (cause) {
    throw new GloveboxError('invalid_input', `${file} is no text in UTF-8.`, {
      hint: 'Save it in UTF-8. A coding comment in it changes nothing.',
      cause,
    });
  }
}
