import { renameSync, rmSync, writeFileSync } from 'node:fs';

/**
 * Writes a file that its owner alone can read, whole or not at all: readers see it before or after. One that writes a
 * path at a time; what a crash leaves beside it, with `.new` at its end, the next write replaces.
 * `flush`: what was written outlasts a loss of power.
 */
export function replaceFile(path: string, content: string, options: { readonly flush?: boolean } = {}): void {
  const fresh = `${path}.new`;
  try {
    writeFileSync(fresh, content, { mode: 0o600, ...options });
    renameSync(fresh, path);
  } catch (error) {
    rmSync(fresh, { force: true });
    throw error;
  }
}
