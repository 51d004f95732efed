import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** The name of a session's container, from the manifest that says whose it is; undefined while there is none. */
export function containerOf(stateDir: string, session: string, owner?: string): string | undefined {
  const instances = join(stateDir, 'instances');
  for (const path of readdirSync(instances, { recursive: true, encoding: 'utf8' })) {
    if (!path.endsWith('.json')) continue;
    const manifest = readManifest(join(instances, path));
    const isOwned = owner === undefined || manifest?.owner === owner;
    if (manifest?.key && manifest.session_id === session && isOwned) return `glovebox-${manifest.key}`;
  }
  return undefined;
}

/** A file of a server that runs may be gone by the time it is read. */
function readManifest(path: string): { key?: string; session_id?: string; owner?: string } | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return undefined;
  }
}
