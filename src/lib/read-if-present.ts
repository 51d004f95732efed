import { readFile } from 'node:fs/promises';

/** Reads a file that need not be there. */
export async function readIfPresent(path: string): Promise<string | undefined> {
  return await readFile(path, 'utf8').catch(undefinedIfMissing);
}

/** For `catch`: what is not there is no error. */
export function undefinedIfMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined;
  throw error;
}
