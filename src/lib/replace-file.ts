import { chmodSync, existsSync, realpathSync, renameSync, rmSync, writeFileSync } from 'node:fs';

/**
 * Replaces a file atomically: readers see either the old or the new content. Only its owner can read it, unless `mode`
 * says otherwise. A path must not be written twice at the same time. A crash may leave a file with the suffix `.new`,
 * which the next write replaces.
 * @param options `flush` writes the content to the disk before it returns, so that it survives a power failure
 */
export function replaceFile(
  path: string,
  content: string,
  options: { readonly flush?: boolean; readonly mode?: number } = {},
): void {
  const fresh = `${path}.new`;
  try {
    writeFileSync(fresh, content, { mode: 0o600, ...options });
    // The mode of a new file is cut by the umask, and a file that a crash left has its own.
    if (options.mode !== undefined) chmodSync(fresh, options.mode);
    renameSync(fresh, path);
  } catch (error) {
    rmSync(fresh, { force: true });
    throw error;
  }
}

/** The target of a symbolic link, so that this is replaced and not the link; a path that is none stays as it is. */
export function targetOfLink(path: string): string {
  return existsSync(path) ? realpathSync(path) : path;
}
