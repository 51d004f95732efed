import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { makeWheel } from '../../../test/support/distributions.ts';
import { startGateway, startIndex } from '../../../test/support/gateway.ts';

const demo = makeWheel('demo', '1.0', { requires: ['other>=1'] });
const large = makeWheel('demo', '2.0', { padding: 6 * 2 ** 20 });

test.each([demo, large])('$filename comes whole, and the second time from the cache', async (wheel) => {
  const index = await startIndex([wheel]);
  const gateway = await startGateway([index]);
  const link = await gateway.link('demo', wheel.filename);
  for (let i = 0; i < 2; i += 1) {
    const answer = await gateway.get(link);
    expect(answer).toMatchObject({ status: 200, complete: true });
    expect(answer.headers['content-length']).toBe(String(wheel.content.length));
    expect(answer.body.equals(wheel.content)).toBe(true);
  }
  expect(index.count('/files/')).toBe(1);
  expect(await gateway.cached('tmp')).toEqual([]);
  const served = gateway.lines.filter((line) => line.includes('package file served'));
  expect(
    served.map((line) => /owner=ann session=gbx_1 project=demo version=\S+ .* bytes=\d+ cached=(\w+)/.exec(line)?.[1]),
  ).toEqual(['false', 'true']);
  expect(gateway.downloads.at(-1)).toEqual({
    file: wheel.filename,
    bytes: wheel.content.length,
    total: wheel.content.length,
    cached: true,
  });
  expect(gateway.gateway.stats()).toMatchObject({ fileRequests: 1, fileHits: 1 });
});

test('two downloads of one file at once are one request', async () => {
  const index = await startIndex([large]);
  const gateway = await startGateway([index]);
  const link = await gateway.link('demo', large.filename);
  const answers = await Promise.all(Array.from({ length: 6 }, () => gateway.get(link)));
  expect(answers.every(({ body }) => body.equals(large.content))).toBe(true);
  expect(index.count('/files/')).toBe(1);
});

test('another gateway over the same directory finds what the first has cached', async () => {
  const index = await startIndex([demo]);
  const first = await startGateway([index]);
  const link = await first.link('demo', demo.filename);
  await first.get(link);
  const second = await startGateway([index], { cacheDir: first.cacheDir });
  expect((await second.get(link)).body.equals(demo.content)).toBe(true);
  expect(index.requests).toHaveLength(2);
});

test('HEAD and ranges of a file, cached or not', async () => {
  const gateway = await startGateway([await startIndex([demo])]);
  const link = await gateway.link('demo', demo.filename);
  const size = demo.content.length;
  const head = await gateway.get(link, {}, 'HEAD');
  expect(head).toMatchObject({ status: 200, headers: { 'accept-ranges': 'bytes', 'content-length': String(size) } });
  expect(head.body).toHaveLength(0);
  for (let i = 0; i < 2; i += 1) {
    const tail = await gateway.get(link, { range: 'bytes=-22' });
    expect(tail).toMatchObject({ status: 206, headers: { 'content-range': `bytes ${size - 22}-${size - 1}/${size}` } });
    expect(tail.body.equals(demo.content.subarray(-22))).toBe(true);
  }
  expect((await gateway.get(link, { range: 'bytes=0-0,2-3' })).body).toHaveLength(size);
  expect(await gateway.get(link, { range: `bytes=${size}-` })).toMatchObject({
    status: 416,
    headers: { 'content-range': `bytes */${size}` },
  });
  const etag = head.headers.etag ?? '';
  expect((await gateway.get(link, { 'if-none-match': `W/${etag}` })).status).toBe(304);
  expect((await gateway.get(link, { range: 'bytes=0-1', 'if-range': '"other"' })).status).toBe(200);
  expect((await gateway.get(link, { range: 'bytes=0-1', 'if-range': etag })).status).toBe(206);
});

test('metadata passes through', async () => {
  const index = await startIndex([large]);
  const gateway = await startGateway([index]);
  const link = await gateway.link('demo', large.filename);
  for (let i = 0; i < 2; i += 1) expect((await gateway.get(`${link}.metadata`)).body.equals(large.metadata)).toBe(true);
  expect(index.requests.filter((request) => request.includes('/files/'))).toEqual([
    `GET /files/${large.filename}.metadata`,
  ]);
});

test.each([
  ['a large wheel by its ranges', large, true, 0],
  ['a small wheel as a whole', demo, true, 1],
  ['a large wheel as a whole from a server without ranges', large, false, 1],
])('metadata that the index does not have is read from %s', async (_, wheel, ranges, cached) => {
  const index = await startIndex([wheel, { metadata: 'none' }]);
  index.ranges = ranges;
  const gateway = await startGateway([index]);
  const link = await gateway.link('demo', wheel.filename);
  expect((await gateway.get(`${link}.metadata`)).body.equals(wheel.metadata)).toBe(true);
  expect(await gateway.cached('files')).toHaveLength(cached);
  expect(gateway.gateway.stats().bytesFetched).toBeLessThan(cached ? Infinity : 600_000);
});

test('a file without a hash is trusted on first use', async () => {
  const index = await startIndex([demo, { hash: 'none' }]);
  const gateway = await startGateway([index]);
  const link = await gateway.link('demo', demo.filename);
  expect((await gateway.get(link)).body.equals(demo.content)).toBe(true);
  expect((await gateway.get(link)).body.equals(demo.content)).toBe(true);
  expect(index.count('/files/')).toBe(1);
  await rm(join(gateway.cacheDir, 'files'), { recursive: true });
  index.faults.set('/files/', { kind: 'corrupt' });
  expect(await gateway.get(link)).toMatchObject({ status: 422, reason: expect.stringContaining('has changed') });
});

test.each(['sha512', 'md5'] as const)('a file with a %s comes, and is cached', async (hash) => {
  const index = await startIndex([demo, { hash }]);
  const gateway = await startGateway([index]);
  const link = await gateway.link('demo', demo.filename);
  for (let i = 0; i < 2; i += 1) expect((await gateway.get(link)).body.equals(demo.content)).toBe(true);
  expect(index.count('/files/')).toBe(1);
});

test('how large a wheel is unpacked is known before it is fetched, and after', async () => {
  const wheel = makeWheel('swelling', '1.0', { padding: 1_000_000, zeros: 5_000_000 });
  const index = await startIndex([wheel]);
  const gateway = await startGateway([index]);
  const path = await gateway.link('swelling', wheel.filename);
  const before = await gateway.get(`${path}.unpacked`);
  expect(before.status).toBe(200);
  expect(Number(before.body)).toBeGreaterThan(6_000_000);
  expect(await gateway.cached('files')).toEqual([]);
  await gateway.get(path);
  const after = await gateway.get(`${path}.unpacked`);
  expect(Number(after.body)).toBe(Number(before.body));
});

test('how large a wheel is unpacked is not known where the index has no byte ranges', async () => {
  const wheel = makeWheel('swelling', '1.0', { padding: 1_000_000 });
  const index = await startIndex([wheel]);
  index.ranges = false;
  const gateway = await startGateway([index]);
  expect((await gateway.get(`${await gateway.link('swelling', wheel.filename)}.unpacked`)).status).toBe(404);
});
