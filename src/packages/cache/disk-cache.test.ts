import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rm, utimes, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { makeWheel } from '../../../test/support/distributions.ts';
import { openGateway } from '../../../test/support/gateway.ts';
import { IndexServer } from '../../../test/support/index-server.ts';
import { DiskCache } from './disk-cache.ts';

const log = { debug() {}, info() {}, warn() {}, error() {} };

async function setUp(limitBytes = 1000) {
  const dir = await mkdtemp(join(tmpdir(), 'glovebox-cache-'));
  onTestFinished(() => rm(dir, { recursive: true }));
  return { dir, cache: new DiskCache({ dir, limitBytes, log }) };
}

/** Makes an entry look as if it was last used so many minutes ago. */
async function age(dir: string, key: string, minutes: number) {
  const then = new Date(Date.now() - minutes * 60_000);
  await utimes(join(dir, 'files', key.slice(0, 2), key), then, then);
}

test('the entries used least recently make room', async () => {
  const { dir, cache } = await setUp();
  for (const key of ['aa1', 'bb2', 'cc3']) await cache.write('files', key, 'x'.repeat(300));
  await age(dir, 'aa1', 30);
  await age(dir, 'bb2', 20);
  await age(dir, 'cc3', 10);
  // Used again, the oldest is the newest.
  await cache.read('files', 'aa1');
  await cache.write('files', 'dd4', 'x'.repeat(300));
  const left = await Promise.all(['aa1', 'bb2', 'cc3', 'dd4'].map((key) => cache.read('files', key)));
  expect(left.map((content) => content?.length)).toEqual([300, undefined, 300, 300]);
  expect(cache.bytes).toBe(900);
});

test('an entry that is being read is not evicted', async () => {
  const { dir, cache } = await setUp();
  await cache.write('files', 'aa1', 'x'.repeat(600));
  await age(dir, 'aa1', 30);
  {
    await using held = await cache.open('files', 'aa1');
    expect(held?.size).toBe(600);
    await expect(cache.write('files', 'bb2', 'x'.repeat(600))).rejects.toMatchObject({ status: 507 });
  }
  await cache.write('files', 'bb2', 'x'.repeat(600));
  expect(await cache.read('files', 'aa1')).toBeUndefined();
});

test('what is too large for the cache is refused and leaves nothing', async () => {
  const { dir, cache } = await setUp();
  await expect(cache.write('files', 'aa1', 'x'.repeat(1001))).rejects.toMatchObject({ status: 507 });
  expect(await readdir(join(dir, 'tmp'))).toEqual([]);
  expect(cache.bytes).toBe(0);
  await cache.write('files', 'aa1', 'x'.repeat(1000));
});

test('entries of another process are counted', async () => {
  const { dir, cache } = await setUp();
  await cache.write('files', 'aa1', 'x'.repeat(300));
  const other = new DiskCache({ dir, limitBytes: 1000, log });
  await other.write('files', 'bb2', 'x'.repeat(600));
  expect(other.bytes).toBe(900);
  expect((await cache.read('files', 'bb2'))?.length).toBe(600);
});

test('replacing an entry does not count it twice', async () => {
  const { cache } = await setUp();
  for (let i = 0; i < 5; i += 1) await cache.write('files', 'aa1', 'x'.repeat(300));
  expect(cache.bytes).toBe(300);
});

test('partial files of dead processes are removed at start, those of living ones are not', async () => {
  const { dir, cache } = await setUp();
  const { pid } = spawnSync(process.execPath, ['--version']);
  await mkdir(join(dir, 'tmp'), { recursive: true });
  const names = [`${hostname()}.${pid}.0a`, `${hostname()}.${process.pid}.0b`, 'elsewhere.1.0c', 'elsewhere.1.0d'];
  for (const name of names) await writeFile(join(dir, 'tmp', name), 'x');
  const long = new Date(Date.now() - 7_200_000);
  await utimes(join(dir, 'tmp', 'elsewhere.1.0d'), long, long);
  await cache.read('files', 'aa1');
  expect((await readdir(join(dir, 'tmp'))).sort()).toEqual([names[2], names[1]].sort());
});

test('a cache directory that cannot be made is a readable refusal', async () => {
  const { dir } = await setUp();
  await writeFile(join(dir, 'taken'), '');
  const cache = new DiskCache({ dir: join(dir, 'taken'), limitBytes: 1000, log });
  await expect(cache.read('files', 'aa1')).rejects.toMatchObject({ status: 507 });
});

async function gatewayOver(padding: number, cacheLimitBytes: number) {
  const index = await IndexServer.start();
  onTestFinished(() => index[Symbol.asyncDispose]());
  const wheels = ['1.0', '2.0', '3.0'].map((version) => makeWheel('demo', version, { padding }));
  for (const wheel of wheels) index.add(wheel);
  const gateway = await openGateway([index.url], { cacheLimitBytes });
  onTestFinished(() => gateway[Symbol.asyncDispose]());
  return { index, gateway, wheels };
}

test('a cached file that a crash has damaged is fetched anew', async () => {
  const { index, gateway, wheels } = await gatewayOver(1000, 2 ** 20);
  const [wheel] = wheels;
  const link = await gateway.link('demo', wheel?.filename ?? '');
  await gateway.get(link);
  const [name = ''] = await gateway.cached('files');
  await writeFile(join(gateway.cacheDir, 'files', name.slice(0, 2), name), wheel?.content.subarray(0, 100) ?? '');
  const next = await openGateway([index.url], { cacheDir: gateway.cacheDir });
  onTestFinished(() => next[Symbol.asyncDispose]());
  expect((await next.get(link)).body.equals(wheel?.content ?? Buffer.alloc(0))).toBe(true);
  expect(index.count('/files/')).toBe(2);
});

test('a cache of a few files serves many, and stays within its bounds', async () => {
  const { gateway, wheels } = await gatewayOver(400_000, 2 ** 20);
  for (const wheel of [...wheels, ...wheels]) {
    const answer = await gateway.get(await gateway.link('demo', wheel.filename));
    expect(answer.body.equals(wheel.content)).toBe(true);
  }
  expect(await gateway.cached('files')).toHaveLength(2);
  expect(gateway.gateway.stats().cacheBytes).toBeLessThanOrEqual(2 ** 20);
});

test('a file that is larger than the cache is refused with a reason', async () => {
  const { gateway, wheels } = await gatewayOver(400_000, 100_000);
  const answer = await gateway.get(await gateway.link('demo', wheels[0]?.filename ?? ''));
  expect(answer).toMatchObject({ status: 507, reason: expect.stringContaining('GLOVEBOX_CACHE_MB') });
  await expect.poll(() => gateway.cached('tmp')).toEqual([]);
});
