import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { GloveboxError } from '../../errors.ts';
import { Problem } from '../upstream/problem.ts';
import type { ProjectPage } from './index-page.ts';
import { LocalIndex } from './local-index.ts';
import { RemoteIndex, type RemoteIndexOptions } from './remote-index.ts';

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

/** All configured indexes as one. */
export class Indexes {
  readonly #indexes: readonly (RemoteIndex | LocalIndex)[];

  constructor(locations: readonly IndexLocation[], shared: Omit<RemoteIndexOptions, 'url'>) {
    this.#indexes = locations.map((location) =>
      typeof location === 'string' ? new LocalIndex(location) : new RemoteIndex({ url: location, ...shared }),
    );
  }

  async close(): Promise<void> {
    await Promise.all(this.#indexes.map((index) => (index instanceof RemoteIndex ? index.close() : undefined)));
  }

  /**
   * The page of the first index that has the project. Others are not mixed in: a stranger who registers a private
   * package's name on a public index gains nothing (dependency confusion). An index that fails is no index that has not.
   * @throws Problem 404 when none has it.
   */
  async project(project: string): Promise<ProjectPage> {
    for (const index of this.#indexes) {
      const page = await index.project(project);
      if (page) return page;
    }
    throw new Problem(404, `There is no package named ${project} on the package index.`);
  }
}
