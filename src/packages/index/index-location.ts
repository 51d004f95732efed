import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { GloveboxError } from '../../errors.ts';

/** An index of the configuration: a web address, or a directory. */
export type IndexLocation = URL | string;

/** @throws GloveboxError `invalid_input` for what is neither; passwords are not repeated. */
export function parseIndexLocation(text: string): IndexLocation {
  const url = /^[a-z][a-z0-9+.-]+:/i.test(text) ? URL.parse(text) : undefined;
  if (url?.protocol === 'http:' || url?.protocol === 'https:') return url;
  const directory = url === undefined ? resolve(text) : toPath(url);
  if (directory !== undefined && isDirectory(directory)) return directory;
  throw new GloveboxError(
    'invalid_input',
    `GLOVEBOX_INDEX_URL has ${text.replace(/\/\/[^/]*@/, '//')}, which is no package index.`,
    {
      hint: 'It takes http://, https:// and file:/// addresses and directories that exist, with commas in between.',
    },
  );
}

function toPath(url: URL | null): string | undefined {
  return url?.protocol === 'file:' && url.host === '' ? fileURLToPath(url) : undefined;
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}
