import { createHash, randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test } from 'vitest';
import { createLog } from '../../src/log.ts';
import { SharedStore } from '../../src/packages/cache/shared-store.ts';
import { openBucket } from '../../src/s3/open-bucket.ts';
import { makeWheel } from '../support/distributions.ts';
import { openGateway, type TestGateway } from '../support/gateway.ts';
import { IndexServer } from '../support/index-server.ts';
import { callTool } from '../support/rest-client.ts';
import { startServer } from '../support/server.ts';
import { CREDENTIALS, openStorage, type Storage } from '../support/storage.ts';

/** More than one part. */
const LARGE = 9 * 2 ** 20;

let storage: Storage;
let index: IndexServer;
let prefix = '';
let rounds = 0;
let said: string[];

beforeAll(async () => {
  storage = await openStorage();
}, 600_000);
afterAll(async () => await storage[Symbol.asyncDispose]());
beforeEach(async () => {
  rounds += 1;
  prefix = `round-${rounds}`;
  said = [];
  index = await IndexServer.start();
  onTestFinished(() => index[Symbol.asyncDispose]());
});

/** The shared cache of a server. @param keys of those servers, the newest last */
function openShared({ days = 30, keys }: { days?: number; keys?: readonly Buffer[] } = {}): SharedStore {
  const access = { archiveEndpoint: storage.endpoint, hostEnvironment: { proxy: {}, storage: CREDENTIALS } };
  const bucket = openBucket(`s3://archives/${prefix}`, access, 'hasty');
  const inTurn = keys?.map((bytes) => ({ bytes }));
  return new SharedStore({
    bucket,
    days,
    keys: inTurn && (() => inTurn),
    log: createLog('debug', (line) => said.push(line)),
  });
}

/** A gateway whose own cache is empty, before the shared one. */
async function openServer(keys?: readonly Buffer[]): Promise<TestGateway & { shared: SharedStore }> {
  const cacheDir = await mkdtemp(join(tmpdir(), 'glovebox-gateway-'));
  const shared = openShared(keys ? { keys } : {});
  const gateway = await openGateway([index.url], { shared, cacheDir });
  onTestFinished(async () => {
    await gateway[Symbol.asyncDispose]();
    await rm(cacheDir, { recursive: true });
  });
  return { ...gateway, shared };
}

const inBucket = (kind: string) =>
  storage.files().filter((path) => path.includes(`/objects/archives/${prefix}/packages/${kind}/`));

async function fetchWheel(server: TestGateway, { name, filename }: ReturnType<typeof makeWheel>) {
  const link = await server.link(name, filename);
  const metadata = await server.get(`${link}.metadata`);
  return { file: await server.get(link), metadata: metadata.body.toString() };
}

test.each([
  ['small', 0],
  ['of several parts', LARGE],
])('a file that is %s is had from the bucket by another server while no index answers', async (_, padding) => {
  const wheel = makeWheel('demo', '1.0', { padding });
  index.add(wheel);
  const first = await openServer();
  const before = await fetchWheel(first, wheel);
  await first.shared.idle();
  index.faults.set('/', { kind: 'down' });
  const asked = index.requests.length;
  const second = await openServer();
  const after = await fetchWheel(second, wheel);
  expect(after.file.body.equals(wheel.content)).toBe(true);
  expect(after.metadata).toBe(before.metadata);
  expect(index.requests.length).toBe(asked);
  // Had once, it is in the server's own cache.
  await storage.kill();
  try {
    expect((await fetchWheel(second, wheel)).file.body.equals(wheel.content)).toBe(true);
  } finally {
    await storage.start();
  }
});

test.each(['files', 'metadata', 'pages'])(
  '%s that have changed in the bucket are removed, and fetched anew',
  async (kind) => {
    const wheel = makeWheel('demo', '1.0', { padding: 100_000 });
    index.add(wheel, { metadata: 'bare' });
    const first = await openServer();
    const before = await fetchWheel(first, wheel);
    await first.shared.idle();
    const [path = ''] = inBucket(kind);
    const content = readFileSync(path);
    content[content.length - 9] = (content.at(-9) ?? 0) ^ 1;
    writeFileSync(path, content);
    const asked = index.requests.length;
    const second = await openServer();
    const after = await fetchWheel(second, wheel);
    expect(after.file.body.equals(wheel.content)).toBe(true);
    expect(after.metadata).toBe(before.metadata);
    expect(index.requests.length).toBe(asked + 1);
    expect(said.join('\n')).toContain('removed a damaged entry');
    await second.shared.idle();
    expect(readFileSync(path).equals(content)).toBe(false);
  },
);

test('a page that no server with the key has written is not used, with a right checksum either', async () => {
  const wheel = makeWheel('demo', '1.0');
  index.add(wheel);
  const [old, key] = [randomBytes(32), randomBytes(32)];
  const first = await openServer([old]);
  await fetchWheel(first, wheel);
  await first.shared.idle();
  const asked = index.requests.length;
  await fetchWheel(await openServer([old, key]), wheel);
  expect(index.requests.length).toBe(asked);

  const [path = ''] = inBucket('pages');
  const page = readFileSync(path).subarray(64).toString().replaceAll('1.0', '6.6');
  writeFileSync(path, `${createHash('sha256').update(page).digest('hex')}${page}`);
  const second = await openServer([old, key]);
  expect((await fetchWheel(second, wheel)).file.body.equals(wheel.content)).toBe(true);
  expect(index.requests.length).toBe(asked + 1);
  await second.shared.idle();

  // What was written with the newest key alone, a server without it has no use for.
  await fetchWheel(await openServer([old]), wheel);
  expect(index.requests.length).toBe(asked + 2);
});

test('a bucket that hangs or is gone keeps no installation for long, and is asked again later', async () => {
  const wheel = makeWheel('demo', '1.0');
  index.add(wheel);
  const server = await openServer();
  storage.pause();
  try {
    const began = performance.now();
    expect((await fetchWheel(server, wheel)).file.status).toBe(200);
    expect(performance.now() - began).toBeLessThan(10_000);
    expect(said.filter((line) => line.includes('the shared package cache fails'))).toHaveLength(1);
  } finally {
    storage.resume();
  }
});

test('entries are removed when they are too old, and unfinished uploads', async () => {
  const wheel = makeWheel('demo', '1.0');
  index.add(wheel);
  const server = await openServer();
  await fetchWheel(server, wheel);
  await server.shared.idle();
  await server.shared.sweep();
  expect(inBucket('files')).toHaveLength(1);
  const strict = openShared({ days: -1 });
  await strict.sweep();
  await strict[Symbol.asyncDispose]();
  expect(inBucket('files').length + inBucket('pages').length).toBe(0);
});

test('code installs on a server with an empty cache what another one has installed, while no index answers', async () => {
  index.add(makeWheel('plain-thing', '1.0'));
  const env = {
    GLOVEBOX_INDEX_URL: index.url,
    GLOVEBOX_SHARED_CACHE: `s3://archives/${prefix}`,
    GLOVEBOX_ARCHIVE_ENDPOINT: storage.endpoint,
    AWS_ACCESS_KEY_ID: CREDENTIALS.accessKeyId,
    AWS_SECRET_ACCESS_KEY: CREDENTIALS.secretAccessKey,
    GLOVEBOX_POOL_SIZE: '0',
  };
  const caches = await Promise.all([0, 1].map(() => mkdtemp(join(tmpdir(), 'glovebox-packages-'))));
  onTestFinished(() => Promise.all(caches.map((cache) => rm(cache, { recursive: true }))).then(() => {}));
  const install = async (cache = '') => {
    await using server = await startServer({ env: { ...env, GLOVEBOX_CACHE_DIR: cache } });
    const installed = await callTool(server, 'install_dependencies', { packages: ['plain-thing'] });
    await expect.poll(() => inBucket('files').length).toBe(1);
    return installed;
  };
  expect(await install(caches[0])).toMatchObject({ status: 'ok' });
  index.faults.set('/', { kind: 'down' });
  expect(await install(caches[1])).toMatchObject({ status: 'ok' });
}, 120_000);
