import { expect, onTestFinished, test } from 'vitest';
import { makeWheel } from '../../../test/support/distributions.ts';
import { openGateway } from '../../../test/support/gateway.ts';
import { type Fault, IndexServer } from '../../../test/support/index-server.ts';

const demo = makeWheel('demo', '1.0');
const large = makeWheel('demo', '2.0', { padding: 6 * 2 ** 20 });
const QUICK = { responseMs: 300, pageMs: 300, stallMs: 150, indexPageBytes: 2 ** 20, fileBytes: 2 ** 30, slowTtlMs: 0 };

async function setUp(options: Parameters<typeof openGateway>[1] = {}, ...offers: Parameters<IndexServer['add']>[]) {
  const index = await IndexServer.start();
  onTestFinished(() => index[Symbol.asyncDispose]());
  for (const offer of offers.length > 0 ? offers : ([[demo], [large]] satisfies typeof offers)) index.add(...offer);
  const gateway = await openGateway([index.url], { limits: QUICK, ...options });
  onTestFinished(() => gateway[Symbol.asyncDispose]());
  return { index, gateway };
}

test.each<[Fault, number, string]>([
  [{ kind: 'down' }, 502, 'cannot be reached'],
  [{ kind: 'silent' }, 504, 'did not answer in time'],
  [{ kind: 'stall' }, 504, 'took too long to send the index page of demo'],
  [{ kind: 'truncate' }, 502, 'broke while it sent the index page of demo'],
  [{ kind: 'garbage' }, 422, 'not an index page'],
  [{ kind: 'endless' }, 413, 'larger than the 1 MiB'],
  [{ kind: 'status', status: 500 }, 502, 'answered 500'],
  [{ kind: 'status', status: 401 }, 422, 'GLOVEBOX_INDEX_URL'],
  [{ kind: 'status', status: 451 }, 422, 'answered 451'],
  [{ kind: 'status', status: 429 }, 502, 'answered 429'],
  [{ kind: 'status', status: 404 }, 404, 'no package named demo'],
  [{ kind: 'redirect', to: 'http://169.254.169.254/latest/meta-data/' }, 422, 'private or local address'],
  [{ kind: 'redirect', to: 'http://127.0.0.1:1/' }, 422, 'private or local address'],
  [{ kind: 'redirect', to: 'http://localhost:1/' }, 422, 'private or local address'],
  [{ kind: 'redirect', to: 'http://0x7f000001:1/' }, 422, 'private or local address'],
  [{ kind: 'redirect', to: 'http://[::ffff:7f00:1]:1/' }, 422, 'private or local address'],
  [{ kind: 'redirect', to: 'file:///etc/passwd' }, 422, 'not an http or https URL'],
  [{ kind: 'redirect', to: '/simple/demo/' }, 422, 'too many times'],
])('an index page: %j', async (fault, status, reason) => {
  const { index, gateway } = await setUp({ limits: { ...QUICK, negativeTtlMs: 0 } });
  index.faults.set('/simple/demo/', fault);
  const answer = await gateway.get('/simple/demo/');
  expect(answer).toMatchObject({ status, reason: expect.stringContaining(reason), complete: true });
  expect(JSON.parse(answer.body.toString())).toMatchObject({ status, detail: answer.reason });
  expect(await gateway.cached('pages')).toEqual([]);
  expect(await gateway.cached('tmp')).toEqual([]);
  index.faults.clear();
  if (status !== 404) expect((await gateway.get('/simple/demo/')).status).toBe(200);
});

test('an index that is too slow is not waited for again by the retries of an installer', async () => {
  const { index, gateway } = await setUp({ limits: { ...QUICK, slowTtlMs: 60_000 } });
  index.faults.set('/simple/demo/', { kind: 'silent' });
  for (let i = 0; i < 3; i += 1) expect((await gateway.get('/simple/demo/')).status).toBe(504);
  expect(index.count('/simple/demo/')).toBe(1);
});

test('what an index said last is remembered, however little memory there is for it', async () => {
  const { index, gateway } = await setUp({ limits: { ...QUICK, pageMemoryBytes: 1 } });
  for (let i = 0; i < 2; i += 1) expect((await gateway.get('/simple/nothing/')).status).toBe(404);
  expect(index.count('/simple/nothing/')).toBe(1);
});

test('an index that is down is stood in for by the page it last gave', async () => {
  const { index, gateway } = await setUp({ limits: { ...QUICK, pageTtlMs: 0, negativeTtlMs: 0 } });
  const before = await gateway.get('/simple/demo/');
  index.faults.set('/simple/', { kind: 'down' });
  expect((await gateway.get('/simple/demo/')).body.equals(before.body)).toBe(true);
  expect(gateway.lines.join('')).toContain('serving a stale index page');
  // And so does the page that an earlier process left.
  const next = await openGateway([index.url], { cacheDir: gateway.cacheDir, limits: { ...QUICK, pageTtlMs: 0 } });
  onTestFinished(() => next[Symbol.asyncDispose]());
  expect((await next.get('/simple/demo/')).body.equals(before.body)).toBe(true);
});

test.each<[Fault, number, string]>([
  [{ kind: 'down' }, 502, 'cannot be reached'],
  [{ kind: 'silent' }, 504, 'did not answer in time'],
  [{ kind: 'stall' }, 504, 'stopped sending demo-1.0'],
  [{ kind: 'truncate' }, 502, 'broke while it sent demo-1.0'],
  [{ kind: 'corrupt' }, 422, 'hash mismatch'],
  [{ kind: 'garbage' }, 502, 'of demo-1.0'],
  [{ kind: 'enormous' }, 413, 'larger than the 1024 MiB'],
  [{ kind: 'status', status: 404 }, 404, 'does not have it'],
  [{ kind: 'status', status: 403 }, 422, 'credentials'],
  [{ kind: 'redirect', to: 'http://127.0.0.1:1/' }, 422, 'private or local address'],
])('a small file: %j', async (fault, status, reason) => {
  const { index, gateway } = await setUp();
  const link = await gateway.link('demo', demo.filename);
  index.faults.set('/files/', fault);
  expect(await gateway.get(link)).toMatchObject({ status, reason: expect.stringContaining(reason), complete: true });
  expect(gateway.problems).toMatchObject([{ subject: demo.filename, status }]);
  expect(gateway.lines.some((line) => line.includes('warn') && line.includes('package file failed'))).toBe(true);
  await expect.poll(() => gateway.cached('tmp')).toEqual([]);
  expect(await gateway.cached('files')).toEqual([]);
});

test.each<Fault>([{ kind: 'stall' }, { kind: 'truncate' }])(
  'a large file that fails on the way never comes to its end: %j',
  async (fault) => {
    const { index, gateway } = await setUp();
    const link = await gateway.link('demo', large.filename);
    index.faults.set('/files/', fault);
    const answer = await gateway.get(link);
    expect(answer.status).toBe(200);
    expect(answer.complete).toBe(false);
    expect(answer.body.length).toBeLessThanOrEqual(large.content.length - 65_536);
    await expect.poll(() => gateway.cached('tmp')).toEqual([]);
    expect(await gateway.cached('files')).toEqual([]);
    index.faults.clear();
    expect((await gateway.get(link)).status).toBe(200);
    expect(index.count('/files/')).toBe(2);
  },
);

test('a large file that proves false has zeros for its end, so that the installer’s own check of the hash tells it', async () => {
  const { index, gateway } = await setUp();
  const link = await gateway.link('demo', large.filename);
  index.faults.set('/files/', { kind: 'corrupt' });
  const { status, complete, body } = await gateway.get(link);
  expect({ status, complete, length: body.length }).toEqual({
    status: 200,
    complete: true,
    length: large.content.length,
  });
  expect(body.subarray(-65_536).every((byte) => byte === 0)).toBe(true);
  expect(gateway.problems).toMatchObject([{ subject: large.filename, status: 422 }]);
  await expect.poll(() => gateway.cached('tmp')).toEqual([]);
  expect(await gateway.cached('files')).toEqual([]);
  // What will not get better is said at once from then on.
  expect(await gateway.get(link)).toMatchObject({ status: 422, reason: expect.stringContaining('hash mismatch') });
  expect(index.count('/files/')).toBe(1);
});

test('an index that lies about a hash: the file is refused, even in parts', async () => {
  const { gateway } = await setUp({}, [demo, { hash: 'lie' }]);
  const link = await gateway.link('demo', demo.filename);
  const reason = expect.stringContaining('does not have the sha256');
  expect(await gateway.get(link, { range: 'bytes=0-10' })).toMatchObject({ status: 422, reason });
  expect(await gateway.get(link)).toMatchObject({ status: 422, reason });
});

test('an index that lies about the hash of metadata', async () => {
  const { gateway } = await setUp({}, [demo, { metadata: 'lie' }]);
  const link = await gateway.link('demo', demo.filename);
  expect(await gateway.get(`${link}.metadata`)).toMatchObject({
    status: 422,
    reason: expect.stringContaining('does not have the sha256'),
  });
  expect(await gateway.cached('metadata')).toEqual([]);
});

test('metadata that is announced and not there fails as it does with the index itself', async () => {
  const { gateway } = await setUp({}, [demo, { metadata: 'missing' }]);
  const link = await gateway.link('demo', demo.filename);
  expect(await gateway.get(`${link}.metadata`)).toMatchObject({
    status: 404,
    reason: expect.stringContaining('announces the metadata'),
  });
});

test('a wheel that is no zip file has no metadata', async () => {
  const { gateway } = await setUp({}, [{ ...demo, content: Buffer.alloc(5000, 'PK') }, { metadata: 'none' }]);
  const link = await gateway.link('demo', demo.filename);
  expect(await gateway.get(`${link}.metadata`)).toMatchObject({
    status: 422,
    reason: expect.stringContaining('no readable metadata'),
  });
});

test.each(['http://localhost:PORT', 'http://127.0.0.1:PORT', 'http://0.0.0.0:PORT', 'http://2130706433:PORT'])(
  'a file link to %s, which is not configured, is not followed',
  async (origin) => {
    const other = await IndexServer.start();
    onTestFinished(() => other[Symbol.asyncDispose]());
    other.add(demo);
    const href = `${origin.replace('PORT', String(other.port))}/files/${demo.filename}`;
    const { index, gateway } = await setUp({}, [demo, { href }]);
    const link = await gateway.link('demo', demo.filename);
    expect((await gateway.get(link)).status).toBe(422);
    expect((await gateway.get(`${link}.metadata`)).status).toBe(422);
    expect(other.requests).toEqual([]);
    const both = await openGateway([index.url, other.url]);
    onTestFinished(() => both[Symbol.asyncDispose]());
    expect((await both.get(link)).status).toBe(origin.includes('127') || origin.includes('213') ? 200 : 422);
  },
);
