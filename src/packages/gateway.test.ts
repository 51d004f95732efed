import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';
import { makeSdist, makeWheel } from '../../test/support/distributions.ts';
import { openGateway } from '../../test/support/gateway.ts';
import { IndexServer } from '../../test/support/index-server.ts';
import { createGateway } from './gateway.ts';

const JSON_TYPE = 'application/vnd.pypi.simple.v1+json';
const demo = makeWheel('demo', '1.0', { requires: ['other>=1'] });
const large = makeWheel('demo', '2.0', { padding: 6 * 2 ** 20 });

async function open(...files: Parameters<IndexServer['add']>[]) {
  const index = await IndexServer.start();
  for (const file of files) index.add(...file);
  onTestFinished(() => index[Symbol.asyncDispose]());
  return index;
}

async function gatewayTo(index: IndexServer | string, options: Parameters<typeof openGateway>[1] = {}) {
  const gateway = await openGateway([typeof index === 'string' ? index : index.url], options);
  onTestFinished(() => gateway[Symbol.asyncDispose]());
  return gateway;
}

test.each(['both', 'html'] as const)(
  'pages of an index that speaks %s come in JSON and HTML, with our links',
  async (formats) => {
    const index = await open([demo, { requiresPython: '>=3.8', yanked: 'broken' }]);
    index.formats = formats;
    const gateway = await gatewayTo(index);
    const sha256 = createHash('sha256').update(demo.content).digest('hex');
    const json = await gateway.get('/simple/demo/', { accept: JSON_TYPE });
    expect(json.headers['content-type']).toBe(JSON_TYPE);
    expect(JSON.parse(json.body.toString())).toMatchObject({
      name: 'demo',
      files: [
        {
          filename: demo.filename,
          url: `../../files/demo/${sha256}/${demo.filename}`,
          hashes: { sha256 },
          'requires-python': '>=3.8',
          yanked: 'broken',
          'core-metadata': { sha256: createHash('sha256').update(demo.metadata).digest('hex') },
        },
      ],
    });
    const html = await gateway.get('/simple/demo/');
    expect(html.headers['content-type']).toBe('text/html; charset=utf-8');
    expect(html.body.toString()).toContain(`../../files/demo/${sha256}/${demo.filename}#sha256=${sha256}`);
    expect(html.body.toString() + json.body.toString()).not.toContain(String(index.port));
    expect(index.count('/simple/demo/')).toBe(1);
  },
);

test('names have one address', async () => {
  const gateway = await gatewayTo(await open([demo]));
  for (const path of ['/simple/Demo/', '/simple/DEMO', '/simple/demo']) {
    expect(await gateway.get(path)).toMatchObject({ status: 301, headers: { location: '/simple/demo/' } });
  }
});

test('a page that the client has is not sent again', async () => {
  const gateway = await gatewayTo(await open([demo]));
  const { headers } = await gateway.get('/simple/demo/');
  const again = await gateway.get('/simple/demo/', { 'if-none-match': headers.etag ?? '' });
  expect(again).toMatchObject({ status: 304, body: Buffer.alloc(0) });
});

test('an old page is asked for again by its ETag', async () => {
  const index = await open([demo]);
  const gateway = await gatewayTo(index, { limits: { pageTtlMs: 0 } });
  await gateway.get('/simple/demo/');
  expect((await gateway.get('/simple/demo/')).status).toBe(200);
  expect(index.count('/simple/demo/')).toBe(2);
  expect(gateway.gateway.stats().bytesFetched).toBeLessThan(2 * (await gateway.get('/simple/demo/')).body.length);
});

test('a package that no index has is unknown, and asked for once', async () => {
  const index = await open([demo]);
  const gateway = await gatewayTo(index);
  for (let i = 0; i < 3; i += 1) {
    expect(await gateway.get('/simple/nothing/')).toMatchObject({
      status: 404,
      reason: 'There is no package named nothing on the package index.',
    });
  }
  expect(index.count('/simple/nothing/')).toBe(1);
  expect(gateway.problems[0]).toMatchObject({ subject: 'nothing', status: 404 });
});

test('the first index that has a package is the one used for it', async () => {
  const [inside, outside] = [await open([demo]), await open([large], [makeWheel('public', '1.0')])];
  const gateway = await openGateway([inside.url, outside.url]);
  onTestFinished(() => gateway[Symbol.asyncDispose]());
  expect((await gateway.get('/simple/demo/')).body.toString()).not.toContain('2.0');
  expect((await gateway.get('/simple/public/')).status).toBe(200);
  inside.faults.set('/simple/other/', { kind: 'status', status: 500 });
  expect((await gateway.get('/simple/other/')).status).toBe(502);
  expect(outside.requests).toEqual(['GET /simple/public/']);
});

test.each([demo, large])('$filename comes whole, and the second time from the cache', async (wheel) => {
  const index = await open([wheel]);
  const gateway = await gatewayTo(index);
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
  const index = await open([large]);
  const gateway = await gatewayTo(index);
  const link = await gateway.link('demo', large.filename);
  const answers = await Promise.all(Array.from({ length: 6 }, () => gateway.get(link)));
  expect(answers.every(({ body }) => body.equals(large.content))).toBe(true);
  expect(index.count('/files/')).toBe(1);
});

test('another gateway over the same directory finds what the first has cached', async () => {
  const index = await open([demo]);
  const first = await gatewayTo(index);
  const link = await first.link('demo', demo.filename);
  await first.get(link);
  const second = await gatewayTo(index, { cacheDir: first.cacheDir });
  expect((await second.get(link)).body.equals(demo.content)).toBe(true);
  expect(index.requests).toHaveLength(2);
});

test('HEAD and ranges of a file, cached or not', async () => {
  const gateway = await gatewayTo(await open([demo]));
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
  const index = await open([large]);
  const gateway = await gatewayTo(index);
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
  const index = await open([wheel, { metadata: 'none' }]);
  index.ranges = ranges;
  const gateway = await gatewayTo(index);
  const link = await gateway.link('demo', wheel.filename);
  expect((await gateway.get(`${link}.metadata`)).body.equals(wheel.metadata)).toBe(true);
  expect(await gateway.cached('files')).toHaveLength(cached);
  expect(gateway.gateway.stats().bytesFetched).toBeLessThan(cached ? Infinity : 600_000);
});

test('denied packages, versions and source archives cannot be had by any address', async () => {
  const index = await open(
    [demo],
    [large],
    [makeSdist('demo', '3.0')],
    [makeWheel('evil', '1.0')],
    [makeSdist('raw', '1.0')],
  );
  const free = await gatewayTo(index, { sdists: 'allow' });
  const links = {
    version: await free.link('demo', large.filename),
    sdist: await free.link('demo', 'demo-3.0.tar.gz'),
    name: await free.link('evil', 'evil-1.0-py3-none-any.whl'),
  };
  const gateway = await gatewayTo(index, { deny: ['evil', 'demo>=2,<3'] });
  const page = (await gateway.get('/simple/demo/')).body.toString();
  expect([...page.matchAll(/>(demo-[^<]*)</g)].map((match) => match[1])).toEqual([demo.filename]);
  for (const link of Object.values(links)) {
    for (const path of [link, `${link}.metadata`]) expect((await gateway.get(path)).status).toBe(403);
  }
  expect(await gateway.get('/simple/evil/')).toMatchObject({
    status: 403,
    reason: expect.stringContaining('GLOVEBOX_PACKAGES_DENY'),
  });
  expect(await gateway.get('/simple/raw/')).toMatchObject({
    status: 403,
    reason: expect.stringContaining('source archives'),
  });
  const strict = await gatewayTo(index, { allow: ['demo==9'] });
  expect((await strict.get('/simple/demo/')).reason).toContain('GLOVEBOX_PACKAGES_ALLOW');
});

test('a file without a hash is trusted on first use', async () => {
  const index = await open([demo, { hash: 'none' }]);
  const gateway = await gatewayTo(index);
  const link = await gateway.link('demo', demo.filename);
  expect((await gateway.get(link)).body.equals(demo.content)).toBe(true);
  expect((await gateway.get(link)).body.equals(demo.content)).toBe(true);
  expect(index.count('/files/')).toBe(1);
  await rm(join(gateway.cacheDir, 'files'), { recursive: true });
  index.faults.set('/files/', { kind: 'corrupt' });
  expect(await gateway.get(link)).toMatchObject({ status: 502, reason: expect.stringContaining('has changed') });
});

test.each(['sha512', 'md5'] as const)('a file with a %s comes, and is cached', async (hash) => {
  const index = await open([demo, { hash }]);
  const gateway = await gatewayTo(index);
  const link = await gateway.link('demo', demo.filename);
  for (let i = 0; i < 2; i += 1) expect((await gateway.get(link)).body.equals(demo.content)).toBe(true);
  expect(index.count('/files/')).toBe(1);
});

test('credentials go to their index, and nowhere else', async () => {
  const [index, files] = [await open([demo]), await open([large])];
  index.login = { user: 'ann', password: 'p@ss/word' };
  index.add(large, { href: `${files.origin}/files/${large.filename}` });
  const gateway = await openGateway([index.url, files.url]);
  onTestFinished(() => gateway[Symbol.asyncDispose]());
  for (const { filename } of [demo, large]) {
    expect((await gateway.get(await gateway.link('demo', filename))).status).toBe(200);
  }
  expect(files.authorizations).toEqual([undefined]);
  expect(gateway.lines.join('')).not.toMatch(/p@ss|p%40ss/);
});

test('a directory is an index: files side by side, in folders, or with pages', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'glovebox-index-'));
  onTestFinished(() => rm(dir, { recursive: true }));
  const [folder, page] = [makeWheel('in.folder', '1.0'), makeWheel('in-page', '1.0')];
  await mkdir(join(dir, 'In_Folder'));
  await mkdir(join(dir, 'in-page'));
  await writeFile(join(dir, demo.filename), demo.content);
  await writeFile(join(dir, 'In_Folder', folder.filename), folder.content);
  await writeFile(join(dir, page.filename), page.content);
  await symlink('/etc/hostname', join(dir, 'in_page-3.0.tar.gz'));
  const links = [
    `../${page.filename}`,
    '/etc/in-page-2.0.tar.gz',
    '../in_page-3.0.tar.gz',
    'file:///etc/in-page-4.0.zip',
  ];
  await writeFile(join(dir, 'in-page', 'index.html'), links.map((link) => `<a href="${link}">x</a>`).join(''));
  for (const location of [dir, pathToFileURL(dir).href]) {
    const gateway = await gatewayTo(location, { sdists: 'allow' });
    for (const [project, wheel] of [
      ['demo', demo],
      ['in-folder', folder],
      ['in-page', page],
    ] as const) {
      const link = await gateway.link(project, wheel.filename);
      expect((await gateway.get(link)).body.equals(wheel.content)).toBe(true);
      expect((await gateway.get(`${link}.metadata`)).body.equals(wheel.metadata)).toBe(true);
    }
    expect((await gateway.get('/simple/in-page/')).body.toString().match(/<a /g)).toHaveLength(1);
    expect((await gateway.get('/simple/nothing/')).status).toBe(404);
  }
});

test.each(['ftp://host/simple', '/no/such/directory', 'file:///no/such/directory', 'https://', 'http://u:secret@['])(
  '%s is no index',
  (url) => {
    const make = () =>
      createGateway({
        indexUrls: [url],
        allow: [],
        deny: [],
        sdists: 'deny',
        cacheDir: '/nowhere',
        cacheLimitBytes: 1,
        proxy: {},
        log: { debug() {}, info() {}, warn() {}, error() {} },
      });
    expect(make).toThrow('cannot be used');
    expect(make).not.toThrow('secret');
  },
);
