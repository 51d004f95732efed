import { Problem } from '../upstream/problem.ts';
import type { IndexLocation } from './index-location.ts';
import type { ProjectPage } from './index-page.ts';
import { LocalIndex } from './local-index.ts';
import { RemoteIndex, type RemoteIndexOptions } from './remote-index.ts';

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
