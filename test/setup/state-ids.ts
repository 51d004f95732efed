import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** The ids of all state directories in a folder that servers have used. */
export function readStateIds(stateRoot: string): ReadonlySet<string> {
  return new Set(readdirSync(stateRoot).flatMap((name) => readId(join(stateRoot, name, 'id')) ?? []));
}

/** A state directory's own id; undefined for one that no server has used. */
function readId(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
