import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** All state directories in a folder that servers have used, by their ids. */
export function readStateIds(stateRoot: string): ReadonlyMap<string, string> {
  const directories = readdirSync(stateRoot).map((name) => join(stateRoot, name));
  return new Map(
    directories.flatMap((directory) => {
      const id = readId(join(directory, 'id'));
      return id === undefined ? [] : [[id, directory] as const];
    }),
  );
}

/** A state directory's own id; undefined for one that no server has used. */
function readId(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
