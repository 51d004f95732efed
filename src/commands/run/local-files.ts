import { createReadStream, createWriteStream, mkdirSync, readdirSync, statSync } from 'node:fs';
import { basename, dirname, isAbsolute, join, relative, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { GloveboxError } from '../../errors.ts';

/** File of this machine, and its path in a session. */
export interface LocalFile {
  readonly local: string;
  readonly path: string;
}

/**
 * Finds the files of `--file`. Below the current folder they keep their relative paths, so that a program finds them in
 * the session as it would here; others get their name alone.
 * @throws GloveboxError `file_not_found`, `invalid_input` for what is neither a file nor a folder
 */
export function findFiles(given: readonly string[]): LocalFile[] {
  return given.flatMap((local) => {
    const path = relative('.', local);
    const isBelow = path !== '' && !path.startsWith('..') && !isAbsolute(path);
    return listFiles(local, isBelow ? path : basename(resolve(local)));
  });
}

/** Lists a file of this machine, or the files of a folder, with their paths in a session. @throws as `findFiles` does */
export function listFiles(local: string, path: string): LocalFile[] {
  const found = look(local);
  if (found.isFile()) return [{ local, path }];
  if (found.isDirectory()) {
    const names = readdirSync(local, { withFileTypes: true }).filter((entry) => entry.isFile() || entry.isDirectory());
    return names.flatMap(({ name }) => listFiles(join(local, name), path === '' ? name : `${path}/${name}`));
  }
  throw new GloveboxError('invalid_input', `${local} is neither a file nor a folder.`, { hint: 'Name another one.' });
}

/** The bytes of a file of this machine. */
export function readLocal({ local }: LocalFile): AsyncIterable<Uint8Array> {
  return createReadStream(local);
}

/** Writes a file of this machine, and creates its folders. @throws GloveboxError when it cannot be written */
export async function writeLocal(local: string, content: AsyncIterable<Uint8Array>): Promise<void> {
  try {
    mkdirSync(dirname(local), { recursive: true });
    await pipeline(content, createWriteStream(local));
  } catch (error) {
    throw error instanceof GloveboxError ? error : notWritten(local, error);
  }
}

/** Returns the path below a folder for a name that a program chose. Undefined if that would not be below it. */
export function pathWithin(folder: string, path: string): string | undefined {
  const parts = path.split('/');
  const isSafe = parts.every((part) => part !== '' && part !== '.' && part !== '..' && !/[\\\0]/.test(part));
  return isSafe ? join(folder, ...parts) : undefined;
}

function look(local: string) {
  try {
    return statSync(local);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new GloveboxError(
      'file_not_found',
      `${local} cannot be read${code === 'ENOENT' ? ': there is no such file' : ` (${code})`}.`,
      {
        hint: 'Write its path as it is from the current folder.',
        cause,
      },
    );
  }
}

function notWritten(local: string, cause: unknown): GloveboxError {
  const { code = 'unknown' } = cause as NodeJS.ErrnoException;
  return new GloveboxError('invalid_input', `${local} cannot be written (${code}).`, {
    hint: 'Name another place.',
    cause,
  });
}
