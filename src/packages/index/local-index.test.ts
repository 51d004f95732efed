import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';
import { makeWheel } from '../../../test/support/distributions.ts';
import { startGateway } from '../../../test/support/gateway.ts';
import { createGateway } from '../gateway/gateway.ts';

const demo = makeWheel('demo', '1.0');

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
    const gateway = await startGateway([location], { sdists: 'allow' });
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

test('metadata that a page of a directory announces is what lies beside the file, or missing', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'glovebox-index-'));
  onTestFinished(() => rm(dir, { recursive: true }));
  await mkdir(join(dir, 'demo'));
  await writeFile(join(dir, 'demo', 'index.html'), `<a href="${demo.filename}" data-core-metadata="true">x</a>`);
  await writeFile(join(dir, 'demo', demo.filename), demo.content);
  const gateway = await startGateway([dir]);
  const path = `${await gateway.link('demo', demo.filename)}.metadata`;
  expect((await gateway.get(path)).status).toBe(404);
  const beside = join(dir, 'demo', `${demo.filename}.metadata`);
  await symlink('/etc/hostname', beside);
  expect((await gateway.get(path)).status).toBe(404);
  await rm(beside);
  await writeFile(beside, demo.metadata);
  expect((await gateway.get(path)).body.equals(demo.metadata)).toBe(true);
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
    expect(make).toThrow('which is not a package index');
    expect(make).not.toThrow('secret');
  },
);
