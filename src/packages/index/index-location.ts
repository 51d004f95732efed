import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { GloveboxError } from '../../errors.ts';

/** A configured index: a URL, or the path of a directory. */
export type IndexLocation = URL | string;

/**
 * Reads the location of an index.
 * @throws GloveboxError `invalid_input` when it is neither a URL nor a directory. The message leaves out passwords.
 */
export function parseIndexLocation(text: string): IndexLocation {
  const url = /^[a-z][a-z0-9+.-]+:/i.test(text) ? URL.parse(text) : undefined;
  if (url?.protocol === 'http:' || url?.protocol === 'https:') return url;
  const directory = url === undefined ? resolve(text) : toPath(url);
  if (directory !== undefined && isDirectory(directory)) return directory;
  throw new GloveboxError(
    'invalid_input',
    `GLOVEBOX_INDEX_URL has ${text.replace(/\/\/[^/]*@/, '//')}, which is not a package index.`,
    {
      hint: 'Give http://, https:// or file:/// URLs, or directories that exist, separated by commas.',
    },
  );
}

function toPath(url: URL | null): string | undefined {
  return url?.protocol === 'file:' && url.host === '' ? fileURLToPath(url) : undefined;
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}
