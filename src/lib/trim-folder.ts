import { readdir, rmdir, stat, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

export interface TrimLimits {
  /** Bytes that stay, those last used first. */
  readonly bytes: number;
  /** Files that nobody has read or written for this time are removed. */
  readonly unusedForMs: number;
  /** Interval between two looks, by all processes together. */
  readonly everyMs: number;
}

/** Its time says when a folder was last trimmed. */
const MARK = '.trimmed';

/** Removes old files from the folders in a folder, and the folders that are empty then. @throws Error of the file system */
export async function trimFolder(folder: string, { bytes, unusedForMs, everyMs }: TrimLimits): Promise<void> {
  const mark = join(folder, MARK);
  const now = Date.now();
  if (now - ((await statIfThere(mark))?.mtimeMs ?? 0) < everyMs) return;
  // At first, so that no other process does the same meanwhile.
  await writeFile(mark, '');
  const inner = (await readdir(folder, { withFileTypes: true })).filter((entry) => entry.isDirectory());
  const paths = inner.map(({ name }) => join(folder, name));
  const files = (await Promise.all(paths.map(listFiles))).flat().sort((a, b) => b.usedMs - a.usedMs);
  let kept = 0;
  for (const file of files) {
    kept += file.size;
    if (kept > bytes || now - file.usedMs > unusedForMs) await unlink(file.path).catch(() => {});
  }
  for (const path of paths) await rmdir(path).catch(() => {});
}

interface FileUse {
  readonly path: string;
  readonly size: number;
  /** When it was last read or written; many systems note reads once a day. */
  readonly usedMs: number;
}

async function listFiles(folder: string): Promise<FileUse[]> {
  const found: FileUse[] = [];
  for (const name of await readdir(folder)) {
    const path = join(folder, name);
    const facts = await statIfThere(path);
    if (facts?.isFile()) found.push({ path, size: facts.size, usedMs: Math.max(facts.atimeMs, facts.mtimeMs) });
  }
  return found;
}

/** Undefined for what another process has removed. */
async function statIfThere(path: string) {
  return await stat(path).catch(() => undefined);
}
