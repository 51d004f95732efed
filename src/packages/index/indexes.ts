import { Problem } from '../upstream/problem.ts';
import type { IndexLocation } from './index-location.ts';
import type { ProjectPage } from './index-page.ts';
import { LocalIndex } from './local-index.ts';
import { RemoteIndex, type RemoteIndexOptions } from './remote-index.ts';

/** All configured indexes, combined into one. */
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
   * The page of the first index that has the project. Pages of other indexes are not merged into it, so that nobody can
   * replace a private package by registering its name on a public index (dependency confusion). If an index fails, the
   * next one is not asked.
   * @throws Problem 404 when no index has the project, or another Problem when an index fails
   */
  async project(project: string): Promise<ProjectPage> {
    for (const index of this.#indexes) {
      const page = await index.project(project);
      if (page) return page;
    }
    throw new Problem(404, `There is no package named ${project} on the package index.`);
  }
}
