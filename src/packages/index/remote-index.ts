import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { z } from 'zod';
import type { Log } from '../../log.ts';
import type { PackageCache } from '../cache/disk-cache.ts';
import type { GatewayTraffic } from '../upstream/gateway-stats.ts';
import type { GatewayLimits } from '../upstream/limits.ts';
import { Problem, statusFor, toProblem } from '../upstream/problem.ts';
import { readBody } from '../upstream/read-body.ts';
import type { Upstream, UpstreamResponse } from '../upstream/upstream.ts';
import { FailureCache } from './failure-cache.ts';
import { ACCEPT_PAGE, type IndexFile, isIndexFile, type ProjectPage, parseProjectPage } from './index-page.ts';
import { PROJECT_STATUSES } from './project-status.ts';

/** A page as it was last fetched. `page` is missing when the index did not have the project. */
interface KnownPage {
  readonly page?: ProjectPage;
  readonly etag?: string;
  /** Time of the last check with the index, in milliseconds since 1970. */
  readonly checkedMs: number;
  /** Size of the page's text. */
  readonly bytes: number;
}

/** Version of the stored form. A page stored by an older version is fetched again; its ETag would keep it for ever. */
const PAGE_FORMAT = 2;

/** Form of a page on disk. The checks find truncated files and files of other programs. */
const storedPage = z.object({
  etag: z.string().exactOptional(),
  checkedMs: z.number(),
  bytes: z.number(),
  page: z.object({
    project: z.string(),
    files: z.array(z.custom<IndexFile>(isIndexFile)),
    status: z.object({ status: z.enum(PROJECT_STATUSES), reason: z.string().exactOptional() }).exactOptional(),
  }),
});

export interface RemoteIndexOptions {
  readonly url: URL;
  readonly upstream: Upstream;
  readonly cache: PackageCache;
  readonly limits: GatewayLimits;
  readonly traffic: GatewayTraffic;
  readonly log: Log;
}

/** One simple index on the web. Pages are cached in memory and on disk for a short time, then revalidated by ETag. */
export class RemoteIndex {
  readonly #options: RemoteIndexOptions;
  readonly #known: LRUCache<string, KnownPage>;
  readonly #pending = new Map<string, Promise<KnownPage>>();
  readonly #failures: FailureCache;
  readonly #closing = new AbortController();

  constructor(options: RemoteIndexOptions) {
    this.#options = options;
    this.#failures = new FailureCache(options.limits);
    const maxSize = options.limits.pageMemoryBytes;
    // Every entry takes some memory besides its bytes. The cache refuses entries larger than its limit, so a very large
    // page counts as exactly the limit, and is then the only one.
    this.#known = new LRUCache({ maxSize, sizeCalculation: ({ bytes }) => Math.min(bytes + 1024, maxSize) });
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.allSettled(this.#pending.values());
  }

  /** Undefined when the index does not have the project. @throws Problem when its answer cannot be used */
  async project(project: string): Promise<ProjectPage | undefined> {
    const known = this.#known.get(project);
    if (known && this.#isFresh(known)) {
      this.#options.traffic.pageHits += 1;
      return known.page;
    }
    let pending = this.#pending.get(project);
    if (!pending) {
      pending = this.#refresh(project, known).finally(() => this.#pending.delete(project));
      this.#pending.set(project, pending);
    }
    return (await pending).page;
  }

  #isFresh({ page, checkedMs }: KnownPage): boolean {
    const { pageTtlMs, negativeTtlMs } = this.#options.limits;
    return Date.now() - checkedMs < (page ? pageTtlMs : negativeTtlMs);
  }

  async #refresh(project: string, inMemory: KnownPage | undefined): Promise<KnownPage> {
    if (!inMemory?.page) this.#failures.check(project);
    const known = inMemory?.page ? inMemory : await this.#readStored(project);
    if (known && !inMemory && this.#isFresh(known)) {
      this.#options.traffic.pageHits += 1;
      return this.#remember(project, known);
    }
    let fetched: KnownPage;
    try {
      fetched = await this.#fetch(project, known);
    } catch (thrown) {
      const problem = toProblem(thrown);
      const fields = { project, index: this.#options.url.host, error: problem };
      this.#failures.add(project, problem);
      if (!known?.page) {
        this.#options.log.warn('index page failed', fields);
        throw problem;
      }
      this.#options.log.warn('serving a stale index page', {
        ...fields,
        checked: new Date(known.checkedMs).toISOString(),
      });
      // Used for a while, so that not every installation waits for an index that is down.
      const { pageTtlMs, negativeTtlMs } = this.#options.limits;
      return this.#remember(project, { ...known, checkedMs: Date.now() - pageTtlMs + negativeTtlMs });
    }
    if (fetched.page) await this.#store(project, fetched);
    return this.#remember(project, fetched);
  }

  async #fetch(project: string, known: KnownPage | undefined): Promise<KnownPage> {
    const { url, upstream, traffic } = this.#options;
    const address = new URL(url);
    address.pathname = `${address.pathname.replace(/\/+$/, '')}/${project}/`;
    traffic.pageRequests += 1;
    const response = await upstream.request(address, {
      headers: {
        accept: ACCEPT_PAGE,
        'accept-encoding': 'gzip, br',
        ...(known?.etag ? { 'if-none-match': known.etag } : {}),
      },
      signal: this.#closing.signal,
      unverified: true,
    });
    const checkedMs = Date.now();
    const { status } = response;
    if (status === 200) return await this.#readPage(project, response, checkedMs);
    response.body.destroy();
    if (status === 304 && known) return { ...known, checkedMs };
    if (status === 404 || status === 410) return { checkedMs, bytes: 0 };
    throw refusedBy(status);
  }

  async #readPage(project: string, response: UpstreamResponse, checkedMs: number): Promise<KnownPage> {
    const { limits, traffic } = this.#options;
    const { headers, url } = response;
    const what = `the index page of ${project}`;
    const body = await readBody(response, { what, limitBytes: limits.indexPageBytes, timeMs: limits.pageMs });
    traffic.bytesFetched += body.length;
    const page = parseProjectPage(project, body.toString('utf8'), headers['content-type'] ?? '', url.href);
    const files = page.files.filter((file) => isWebLink(file.url, url, Object.keys(file.hashes).length > 0));
    const { etag } = headers;
    return { page: { ...page, files }, checkedMs, bytes: body.length, ...(etag ? { etag } : {}) };
  }

  #remember(project: string, known: KnownPage): KnownPage {
    this.#known.set(project, known);
    return known;
  }

  #key(project: string): string {
    const { origin, pathname } = this.#options.url;
    return createHash('sha256')
      .update(JSON.stringify([PAGE_FORMAT, origin, pathname, project]))
      .digest('hex');
  }

  async #readStored(project: string): Promise<KnownPage | undefined> {
    try {
      const content = await this.#options.cache.read('pages', this.#key(project));
      return content ? storedPage.parse(JSON.parse(content.toString('utf8'))) : undefined;
    } catch (error) {
      this.#options.log.warn('unreadable page in the package cache', { project, error });
      return undefined;
    }
  }

  /** Stores a page on disk. A failure is only logged: the next process then asks the index again. */
  async #store(project: string, known: KnownPage): Promise<void> {
    await this.#options.cache.write('pages', this.#key(project), JSON.stringify(known)).catch((error: unknown) => {
      this.#options.log.warn('an index page could not be cached', { project, error });
    });
  }
}

function refusedBy(status: number): Problem {
  if (status === 401 || status === 403) {
    return new Problem(
      422,
      `The package index refused this server (${status}). The operator can check the credentials in GLOVEBOX_INDEX_URL.`,
    );
  }
  if (status === 408 || status === 504) return new Problem(504, `The package index reported a timeout (${status}).`);
  return new Problem(statusFor(status), `The package index answered ${status}.`);
}

/** Links must be http or https. A link from https to http is accepted only if a hash verifies the file. */
function isWebLink(href: string, page: URL, hasHash: boolean): boolean {
  const { protocol } = new URL(href);
  return protocol === 'https:' || (protocol === 'http:' && (hasHash || page.protocol === 'http:'));
}
