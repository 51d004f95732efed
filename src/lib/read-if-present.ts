import { readFile } from 'node:fs/promises';

/** Reads a file. Undefined when it does not exist. */
export async function readIfPresent(path: string): Promise<string | undefined> {
  return await readFile(path, 'utf8').catch(undefinedIfMissing);
}

/** Handler for `catch`: turns the error of a missing file into undefined. */
export function undefinedIfMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined;
  throw error;
}
