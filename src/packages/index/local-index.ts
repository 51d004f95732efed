import { createHash } from 'node:crypto';
import { readdir, realpath, stat } from 'node:fs/promises';
import { basename, dirname, join, sep } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { readIfPresent, undefinedIfMissing } from '../../lib/read-if-present.ts';
import { normalizeName, parseFilename } from '../pep/names.ts';
import { type IndexFile, type ProjectPage, parseProjectPage } from './index-page.ts';

/**
 * A directory as an index, for sites without a network. It has the layout of PEP 503 (`<project>/index.html`, or files
 * in `<project>/`), or holds wheels and source archives side by side.
 */
export class LocalIndex {
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  /** Undefined when the directory has no file of the project. It is read on every call, because files may change. */
  async project(project: string): Promise<ProjectPage | undefined> {
    const names = await readdir(this.#root);
    const folder = names.find((name) => normalizeName(name) === project);
    const page = folder === undefined ? undefined : await this.#readFolder(project, join(this.#root, folder));
    if (page) return page;
    const files = await listFiles(this.#root, names, project);
    return files.length > 0 ? { project, files } : undefined;
  }

  async #readFolder(project: string, folder: string): Promise<ProjectPage | undefined> {
    const names = await readdir(folder).catch(undefinedIfMissing);
    if (!names) return undefined;
    const html = await readIfPresent(join(folder, 'index.html'));
    if (html === undefined) return { project, files: await listFiles(folder, names, project) };
    const page = parseProjectPage(project, html, 'text/html', `${pathToFileURL(folder)}/`);
    const files = await Promise.all(page.files.map((file) => this.#checkLink(file)));
    return { ...page, files: files.flatMap((file) => file ?? []) };
  }

  /** Links of a page must stay inside the index. Mirrors keep their files next to `simple/`. */
  async #checkLink(file: IndexFile): Promise<IndexFile | undefined> {
    if (!file.url.startsWith('file:')) return file;
    const root = await realpath(this.#root);
    const bounds = basename(root) === 'simple' ? dirname(root) : root;
    const target = await realpath(fileURLToPath(file.url)).catch(() => undefined);
    return target?.startsWith(bounds + sep) ? await describeFile(file, target) : undefined;
  }
}

async function listFiles(folder: string, names: readonly string[], project: string): Promise<IndexFile[]> {
  const files = names.map(async (filename) => {
    const distribution = parseFilename(filename, project);
    if (!distribution) return undefined;
    const path = join(folder, filename);
    return await describeFile({ filename, url: pathToFileURL(path).href, id: '', hashes: {}, ...distribution }, path);
  });
  return (await Promise.all(files)).flatMap((file) => file ?? []);
}

/** Adds size and id. Without a hash, the id depends on size and time, because a replaced file is another file. */
async function describeFile(file: IndexFile, path: string): Promise<IndexFile | undefined> {
  const found = await stat(path).catch(() => undefined);
  if (!found?.isFile()) return undefined;
  const identity = JSON.stringify([file.url, file.hashes, found.size, found.mtimeMs]);
  const id = file.hashes.sha256 ?? `u${createHash('sha256').update(identity).digest('hex')}`;
  return { ...file, id, size: found.size };
}
