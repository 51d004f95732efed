import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { pack } from 'tar-stream';

/** A file of a build context, with the name that the Dockerfile uses. */
export interface ContextFile {
  readonly name: string;
  readonly content: Buffer;
}

/** Path of `sandbox-image/`. Its relative path is the same from `src` and from `dist`. */
export const SANDBOX_IMAGE_DIR = fileURLToPath(new URL('../../../../sandbox-image/', import.meta.url));

/** Reads files and folders of `directory`, in an order that depends only on their names. */
export function readContext(names: readonly string[], directory: string = SANDBOX_IMAGE_DIR): ContextFile[] {
  return names
    .flatMap((name) => listFiles(directory, name))
    .sort((a, b) => (a < b ? -1 : 1))
    .map((name) => ({ name, content: readFileSync(join(directory, name)) }));
}

function listFiles(directory: string, name: string): string[] {
  if (/(^|\/)(__pycache__|\.[^/]*)$|\.pyc$/.test(name)) return [];
  if (!statSync(join(directory, name)).isDirectory()) return [name];
  return readdirSync(join(directory, name)).flatMap((entry) => listFiles(directory, `${name}/${entry}`));
}

/** Hash of files and other facts, 12 hex digits long. It changes only when one of them changes. */
export function hashInputs(files: readonly ContextFile[], facts: readonly string[]): string {
  const hash = createHash('sha256');
  for (const fact of facts) hash.update(`${fact.length}:${fact}`);
  for (const { name, content } of files) hash.update(`${name}\0${content.length}\0`).update(content);
  return hash.digest('hex').slice(0, 12);
}

/** Packs files into a tar. Owner, mode and time are always the same, because the engine's build cache compares them. */
export function packContext(files: readonly ContextFile[]): Readable {
  const archive = pack();
  const mtime = new Date(0);
  for (const name of listFolders(files)) archive.entry({ name, type: 'directory', mode: 0o755, mtime });
  for (const { name, content } of files) archive.entry({ name, mode: 0o644, mtime }, content);
  archive.finalize();
  return Readable.from(archive);
}

function listFolders(files: readonly ContextFile[]): Set<string> {
  const folders = new Set<string>();
  for (const { name } of files) {
    for (let end = name.indexOf('/'); end >= 0; end = name.indexOf('/', end + 1)) folders.add(name.slice(0, end));
  }
  return folders;
}
