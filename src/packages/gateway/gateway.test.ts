import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { makeSdist, makeWheel } from '../../../test/support/distributions.ts';
import { startGateway, startIndex } from '../../../test/support/gateway.ts';

const JSON_TYPE = 'application/vnd.pypi.simple.v1+json';
const demo = makeWheel('demo', '1.0', { requires: ['other>=1'] });
const large = makeWheel('demo', '2.0', { padding: 6 * 2 ** 20 });

test.each(['both', 'html'] as const)(
  'pages of an index that speaks %s come in JSON and HTML, with our links',
  async (formats) => {
    const index = await startIndex([demo, { requiresPython: '>=3.8', yanked: 'broken' }]);
    index.formats = formats;
    const gateway = await startGateway([index]);
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
  const gateway = await startGateway([await startIndex([demo])]);
  for (const path of ['/simple/Demo/', '/simple/DEMO', '/simple/demo']) {
    expect(await gateway.get(path)).toMatchObject({ status: 301, headers: { location: '/simple/demo/' } });
  }
});

test('a page that the client has is not sent again', async () => {
  const gateway = await startGateway([await startIndex([demo])]);
  const { headers } = await gateway.get('/simple/demo/');
  const again = await gateway.get('/simple/demo/', { 'if-none-match': headers.etag ?? '' });
  expect(again).toMatchObject({ status: 304, body: Buffer.alloc(0) });
});

test('an old page is asked for again by its ETag', async () => {
  const index = await startIndex([demo]);
  const gateway = await startGateway([index], { limits: { pageTtlMs: 0 } });
  await gateway.get('/simple/demo/');
  expect((await gateway.get('/simple/demo/')).status).toBe(200);
  expect(index.count('/simple/demo/')).toBe(2);
  expect(gateway.gateway.stats().bytesFetched).toBeLessThan(2 * (await gateway.get('/simple/demo/')).body.length);
});

test('a package that no index has is unknown, and asked for once', async () => {
  const index = await startIndex([demo]);
  const gateway = await startGateway([index]);
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
  const [inside, outside] = [await startIndex([demo]), await startIndex([large], [makeWheel('public', '1.0')])];
  const gateway = await startGateway([inside.url, outside.url]);
  expect((await gateway.get('/simple/demo/')).body.toString()).not.toContain('2.0');
  expect((await gateway.get('/simple/public/')).status).toBe(200);
  inside.faults.set('/simple/other/', { kind: 'status', status: 500 });
  expect((await gateway.get('/simple/other/')).status).toBe(502);
  expect(outside.requests).toEqual(['GET /simple/public/']);
});

test('denied packages, versions and source archives cannot be had by any address', async () => {
  const index = await startIndex(
    [demo],
    [large],
    [makeSdist('demo', '3.0')],
    [makeWheel('evil', '1.0')],
    [makeSdist('raw', '1.0')],
  );
  const free = await startGateway([index], { sdists: 'allow' });
  const links = {
    version: await free.link('demo', large.filename),
    sdist: await free.link('demo', 'demo-3.0.tar.gz'),
    name: await free.link('evil', 'evil-1.0-py3-none-any.whl'),
  };
  const gateway = await startGateway([index], { deny: ['evil', 'demo>=2,<3'] });
  const page = (await gateway.get('/simple/demo/')).body.toString();
  expect([...page.matchAll(/>(demo-[^<]*)</g)].map((match) => match[1])).toEqual([demo.filename]);
  for (const link of Object.values(links)) {
    for (const path of [link, `${link}.metadata`]) expect((await gateway.get(path)).status).toBe(403);
  }
  expect(await gateway.get('/simple/evil/')).toMatchObject({
    status: 403,
    reason: expect.stringContaining('GLOVEBOX_PACKAGES_DENY'),
  });
  expect((await gateway.get('/simple/raw/')).body.toString()).not.toContain('raw-1.0');
  expect(gateway.problems.at(-1)).toMatchObject({
    subject: 'raw',
    status: 403,
    message: expect.stringContaining('source archives'),
  });
  const strict = await startGateway([index], { allow: ['demo==9'] });
  expect((await strict.get('/simple/demo/')).reason).toContain('GLOVEBOX_PACKAGES_ALLOW');
});

test.each(['both', 'html'] as const)(
  'nothing of a project that its index has quarantined can be had (%s)',
  async (formats) => {
    const index = await startIndex([demo], [makeWheel('gone', '1.0')]);
    index.formats = formats;
    const before = await startGateway([index]);
    const link = await before.link('demo', demo.filename);
    for (const project of ['demo', 'gone', 'empty']) index.mark(project, { status: 'quarantined', reason: 'malware' });
    const gateway = await startGateway([index]);
    for (const project of ['demo', 'gone', 'empty']) {
      const page = await gateway.get(`/simple/${project}/`, { accept: 'application/vnd.pypi.simple.v1+json' });
      expect(JSON.parse(page.body.toString())).toMatchObject({
        files: [],
        'project-status': { status: 'quarantined', reason: 'malware' },
      });
      expect(gateway.problems.at(-1)).toMatchObject({
        subject: project,
        status: 403,
        message: expect.stringMatching(/quarantined.*malware.*unsafe/),
      });
    }
    for (const path of [link, `${link}.metadata`]) {
      expect(await gateway.get(path)).toMatchObject({ status: 403, reason: expect.stringContaining('quarantined') });
    }
  },
);

test('a project that is archived or deprecated is installed, and told of with its file', async () => {
  const index = await startIndex([demo], [makeWheel('old', '1.0')], [makeWheel('plain', '1.0')]);
  index.mark('demo', { status: 'archived' });
  index.mark('old', { status: 'deprecated', reason: 'use "new"' });
  const gateway = await startGateway([index]);
  for (const project of ['demo', 'old', 'plain']) {
    await gateway.get(`/simple/${project}/`);
    expect((await gateway.get(await gateway.link(project, `${project}-1.0-py3-none-any.whl`))).status).toBe(200);
  }
  expect(gateway.notices).toMatchObject([
    { subject: 'demo', message: expect.stringContaining('demo is marked archived by its package index') },
    { subject: 'old', message: expect.stringContaining('("use "new"")') },
  ]);
  expect((await gateway.get('/simple/old/')).body.toString()).toContain('content="deprecated"');
  // And so by a page that an earlier process has stored.
  const next = await startGateway([index], { cacheDir: gateway.cacheDir });
  await next.get(await next.link('demo', demo.filename));
  expect(next.notices).toHaveLength(1);
  expect(index.count('/simple/demo/')).toBe(1);
});

test('credentials go to their index, and nowhere else', async () => {
  const [index, files] = [await startIndex([demo]), await startIndex([large])];
  index.login = { user: 'ann', password: 'p@ss/word' };
  index.add(large, { href: `${files.origin}/files/${large.filename}` });
  const gateway = await startGateway([index.url, files.url]);
  for (const { filename } of [demo, large]) {
    expect((await gateway.get(await gateway.link('demo', filename))).status).toBe(200);
  }
  expect(files.authorizations).toEqual([undefined]);
  expect(gateway.lines.join('')).not.toMatch(/p@ss|p%40ss/);
});
