import type { Client, ProgramEnd } from '../../client/client.ts';
import { toGloveboxError } from '../../errors.ts';
import type { Console } from './console.ts';
import { pathWithin, writeLocal } from './local-files.ts';

/**
 * Fetches the files that a program made or changed into a folder, and says which. Leaves out hidden ones: a shell or
 * another program here might read them unasked.
 * @returns whether all others are there
 */
export async function fetchMade(
  client: Client,
  session: string,
  files: ProgramEnd['files'],
  folder: string,
  console: Console,
): Promise<boolean> {
  let isWhole = true;
  for (const { path } of files) {
    const local = isHidden(path) ? undefined : pathWithin(folder, path);
    if (local === undefined) {
      console.note(`glovebox: left out ${path}`);
      continue;
    }
    try {
      console.progress(`Fetching ${path}`);
      await writeLocal(local, client.read(session, path));
      console.note(`glovebox: wrote ${local}`);
    } catch (error) {
      console.note(`glovebox: ${path}: ${toGloveboxError(error).message}`);
      isWhole = false;
    }
  }
  return isWhole;
}

function isHidden(path: string): boolean {
  return path.split('/').some((part) => part.startsWith('.'));
}
