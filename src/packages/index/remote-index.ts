import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { z } from 'zod';
import type { Log } from '../../log.ts';
import type { DiskCache } from '../cache/disk-cache.ts';
import type { GatewayTraffic } from '../upstream/gateway-stats.ts';
import type { GatewayLimits } from '../upstream/limits.ts';
import { Problem, statusFor, toProblem } from '../upstream/problem.ts';
import { readBody } from '../upstream/read-body.ts';
import type { Upstream, UpstreamResponse } from '../upstream/upstream.ts';
import { FailureCache } from './failure-cache.ts';
import { ACCEPT_PAGE, type IndexFile, isIndexFile, type ProjectPage, parseProjectPage } from './index-page.ts';
import { PROJECT_STATUSES } from './project-status.ts';

/** A page as it was last fetched. `page` is missing when the index had none. */
interface KnownPage {
  readonly page?: ProjectPage;
  readonly etag?: string;
  readonly checkedMs: number;
  readonly bytes: number;
}

/** Changes with what is read of a page: one that an earlier server read would stay as it is, by its ETag. */
const PAGE_FORMAT = 2;

/** Written by us; checked as far as a torn or foreign file would show. */
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
  readonly cache: DiskCache;
  readonly limits: GatewayLimits;
  readonly traffic: GatewayTraffic;
  readonly log: Log;
}

/** One simple index on the web. Pages are held for a short time in memory and on disk, then asked for again by ETag. */
export class RemoteIndex {
  readonly #options: RemoteIndexOptions;
  readonly #known: LRUCache<string, KnownPage>;
  readonly #asking = new Map<string, Promise<KnownPage>>();
  readonly #failures: FailureCache;
  readonly #closing = new AbortController();

  constructor(options: RemoteIndexOptions) {
    this.#options = options;
    this.#failures = new FailureCache(options.limits);
    const maxSize = options.limits.pageMemoryBytes;
    // Small pages, and none, cost more than their bytes. The cache refuses what is larger than all of it: such a page
    // counts as all of it, and is remembered alone.
    this.#known = new LRUCache({ maxSize, sizeCalculation: ({ bytes }) => Math.min(bytes + 1024, maxSize) });
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.allSettled(this.#asking.values());
  }

  /** Undefined when the index says that it has no such project. @throws Problem when it says nothing that can be used. */
  async project(project: string): Promise<ProjectPage | undefined> {
    const known = this.#known.get(project);
    if (known && this.#isFresh(known)) {
      this.#options.traffic.pageHits += 1;
      return known.page;
    }
    let asking = this.#asking.get(project);
    if (!asking) {
      asking = this.#refresh(project, known).finally(() => this.#asking.delete(project));
      this.#asking.set(project, asking);
    }
    return (await asking).page;
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
      // For a while, lest every install waits for an index that is down.
      const { pageTtlMs, negativeTtlMs } = this.#options.limits;
      return this.#remember(project, { ...known, checkedMs: Date.now() - pageTtlMs + negativeTtlMs });
    }
    if (fetched.page) await this.#store(project, fetched);
    return this.#remember(project, fetched);
  }

  async #fetch(project: string, known: KnownPage | undefined): Promise<KnownPage> {
    const { url, upstream, limits, traffic } = this.#options;
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
      unproven: true,
    });
    const checkedMs = Date.now();
    const { status } = response;
    if (status === 200) return await this.#readPage(project, response, checkedMs);
    response.body.destroy();
    if (status === 304 && known) return { ...known, checkedMs };
    if (status === 404 || status === 410) return { checkedMs, bytes: 0 };
    throw refusedBy(status, limits);
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

  /** Without it the next process asks the index again: no reason to fail. */
  async #store(project: string, known: KnownPage): Promise<void> {
    await this.#options.cache.write('pages', this.#key(project), JSON.stringify(known)).catch((error: unknown) => {
      this.#options.log.warn('an index page could not be cached', { project, error });
    });
  }
}

function refusedBy(status: number, { responseMs }: GatewayLimits): Problem {
  if (status === 401 || status === 403) {
    return new Problem(
      422,
      `The package index refuses this server (${status}): its operator can check the credentials in GLOVEBOX_INDEX_URL.`,
    );
  }
  if (status === 408 || status === 504)
    return new Problem(504, `The package index gave up (${status}) within ${responseMs / 1000} s.`);
  return new Problem(statusFor(status), `The package index answered ${status}.`);
}

/** A page on the web links to the web, and not to http from https unless a hash proves what comes. */
function isWebLink(href: string, page: URL, isProven: boolean): boolean {
  const { protocol } = new URL(href);
  return protocol === 'https:' || (protocol === 'http:' && (isProven || page.protocol === 'http:'));
}
