import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { type IncomingHttpHeaders, request } from 'node:http';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { createLog } from '../../src/log.ts';
import { createGateway, type Gateway, type GatewayOptions } from '../../src/packages/gateway/gateway.ts';
import type { GatewayClient } from '../../src/packages/gateway/handler.ts';
import { IndexServer } from './index-server.ts';

export interface Answer {
  readonly status: number;
  readonly reason: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** The body ended as its headers said. */
  readonly complete: boolean;
}

/** A gateway behind a loopback port, as a sandbox sees it behind its tunnel. */
export interface TestGateway extends AsyncDisposable {
  readonly gateway: Gateway;
  readonly origin: string;
  readonly port: number;
  readonly cacheDir: string;
  readonly lines: string[];
  readonly downloads: Parameters<NonNullable<GatewayClient['onDownload']>>[0][];
  readonly problems: Parameters<NonNullable<GatewayClient['onProblem']>>[0][];
  readonly notices: Parameters<NonNullable<GatewayClient['onNotice']>>[0][];
  get(path: string, headers?: Record<string, string>, method?: string): Promise<Answer>;
  /** The address of a file of a project's page. */
  link(project: string, filename: string): Promise<string>;
  /** Files of the cache below a folder, such as `files` or `tmp`. */
  cached(folder: string): Promise<string[]>;
}

/** Opens a gateway over `indexUrls`; its cache is removed with it unless the options name one. */
export async function openGateway(
  indexUrls: readonly string[],
  options: Partial<GatewayOptions> = {},
): Promise<TestGateway> {
  const cacheDir = options.cacheDir ?? (await mkdtemp(join(tmpdir(), 'glovebox-gateway-')));
  const lines: string[] = [];
  const downloads: TestGateway['downloads'] = [];
  const problems: TestGateway['problems'] = [];
  const notices: TestGateway['notices'] = [];
  const gateway = createGateway({
    indexUrls,
    allow: [],
    deny: [],
    sdists: 'deny',
    cacheDir,
    cacheLimitBytes: 100 * 2 ** 20,
    proxy: {},
    log: createLog('debug', (line) => lines.push(line)),
    ...options,
  });
  const client: GatewayClient = {
    owner: 'ann',
    session: 'gbx_1',
    onDownload: (event) => downloads.push(event),
    onProblem: (event) => problems.push(event),
    onNotice: (event) => notices.push(event),
  };
  const server = createServer({ allowHalfOpen: true }, (socket: Socket) => gateway.connect(socket, client));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const get: TestGateway['get'] = (path, headers = {}, method = 'GET') => ask(port, { path, headers, method });
  return {
    gateway,
    origin: `http://127.0.0.1:${port}`,
    port,
    cacheDir,
    lines,
    downloads,
    problems,
    notices,
    get,
    link: async (project, filename) => {
      const { body } = await get(`/simple/${project}/`, { accept: 'application/vnd.pypi.simple.v1+json' });
      const page = JSON.parse(body.toString()) as { files: { filename: string; url: string }[] };
      const url = page.files.find((file) => file.filename === filename)?.url;
      return new URL(url ?? 'missing', `http://x/simple/${project}/`).pathname;
    },
    cached: async (folder) => {
      const found = await readdir(join(cacheDir, folder), { recursive: true, withFileTypes: true }).catch(() => []);
      return found.filter((entry) => entry.isFile()).map(({ name }) => name);
    },
    [Symbol.asyncDispose]: async () => {
      await gateway[Symbol.asyncDispose]();
      await new Promise((resolve) => server.close(resolve));
      if (!options.cacheDir) await rm(cacheDir, { recursive: true });
    },
  };
}

function ask(
  port: number,
  options: { path: string; headers: Record<string, string>; method: string },
): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const asking = request({ host: '127.0.0.1', port, agent: false, ...options }, (response) => {
    const chunks: Buffer[] = [];
    response.on('data', (chunk: Buffer) => chunks.push(chunk));
    response.on('error', () => {});
    response.on('close', () =>
      resolve({
        status: response.statusCode ?? 0,
        reason: response.statusMessage ?? '',
        headers: response.headers,
        body: Buffer.concat(chunks),
        complete: response.complete,
      }),
    );
  });
  asking.on('error', reject);
  asking.end();
  return promise;
}

/** An index that offers some files until the test ends. */
export async function startIndex(...files: Parameters<IndexServer['add']>[]): Promise<IndexServer> {
  const index = await IndexServer.start();
  for (const file of files) index.add(...file);
  onTestFinished(() => index[Symbol.asyncDispose]());
  return index;
}

/** A gateway over indexes or directories until the test ends. */
export async function startGateway(
  indexes: (IndexServer | string)[],
  options: Partial<GatewayOptions> = {},
): Promise<TestGateway> {
  const urls = indexes.map((index) => (typeof index === 'string' ? index : index.url));
  const gateway = await openGateway(urls, options);
  onTestFinished(() => gateway[Symbol.asyncDispose]());
  return gateway;
}
