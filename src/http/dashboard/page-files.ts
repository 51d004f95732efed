import { readdirSync, readFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** A file of the page, in both forms in which it may be sent. */
export interface PageFile {
  readonly content: Buffer;
  /** The same, compressed with gzip. The build writes it beside the file. */
  readonly packed: Buffer | undefined;
  /** Media type, with the encoding. */
  readonly type: string;
}

/** The built files of `dashboard/`. */
export interface PageFiles {
  /** The document, with a placeholder where its nonce belongs. */
  readonly document: string;
  /** Scripts, styles and pictures, by their names below `page/`. */
  readonly assets: ReadonlyMap<string, PageFile>;
}

const TYPES: Readonly<Record<string, string>> = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.md': 'text/plain; charset=utf-8',
  '.svg': 'image/svg+xml; charset=utf-8',
};
const PACKED = '.gz';

/** Folder of the built page, beside the compiled server. */
export const PAGE_FOLDER = fileURLToPath(new URL('../../dashboard/', import.meta.url));

/** Reads all files, so that no name in a request is ever a path. Undefined if the page has not been built. */
export function readPageFiles(folder: string): PageFiles | undefined {
  try {
    const document = readFileSync(join(folder, 'index.html'), 'utf8');
    const assets = join(folder, 'page');
    const names = readdirSync(assets);
    const read = (name: string) => readFileSync(join(assets, name));
    return {
      document,
      assets: new Map(
        names
          .filter((name) => !name.endsWith(PACKED))
          .map((name) => [
            name,
            {
              content: read(name),
              packed: names.includes(name + PACKED) ? read(name + PACKED) : undefined,
              type: TYPES[extname(name)] ?? 'application/octet-stream',
            },
          ]),
      ),
    };
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}
