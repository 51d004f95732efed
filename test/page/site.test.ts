import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { listPages } from '../../scripts/check-links.ts';
import { readApiDocument } from '../../scripts/site/api-document.ts';
import { placeOf } from '../../scripts/site/pages.ts';
import { BROWSER_SETUP_MS, TestBrowser } from '../support/browser.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const SITE = join(ROOT, 'site');
const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.json': 'application/json',
  '.svg': 'image/svg+xml',
};

let said: string;
let server: Server;
let browser: TestBrowser;

beforeAll(async () => {
  server = createServer(async ({ url = '' }, answer) => {
    const path = new URL(url, 'http://site').pathname.replace(/\/$/, '/index.html');
    const content = await readFile(join(SITE, path)).catch(() => undefined);
    answer.writeHead(content ? 200 : 404, { 'content-type': TYPES[extname(path)] ?? 'application/octet-stream' });
    answer.end(content);
  }).listen(0, '127.0.0.1');
  browser = await TestBrowser.start();
  said = (await promisify(execFile)('npm', ['run', 'site', '--silent'], { cwd: ROOT })).stdout;
}, BROWSER_SETUP_MS);
afterAll(async () => {
  server.close();
  await browser[Symbol.asyncDispose]();
});

const open = (place: string) => browser.open(`http://127.0.0.1:${(server.address() as AddressInfo).port}/${place}`);

test('the site has all pages, and no link that leads nowhere', async () => {
  expect(said).toMatch(/^\d+ pages are in site\/\.\n$/);
  const pages = listPages(ROOT).map((page) => placeOf(page).replace(/\.md$/, '.html'));
  expect(pages).toContain('docs/sessions.html');
  expect(pages.filter((page) => !existsSync(join(SITE, page)))).toEqual([]);
});

test('the reference has every request of the REST API, and what the library exports', async () => {
  const { paths, tags } = await readApiDocument();
  const pages = tags.map(({ name }) => readFile(join(SITE, `reference/rest/${name.toLowerCase()}.html`), 'utf8'));
  const text = (await Promise.all(pages)).join('');
  const requests = Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
  );
  expect(requests.filter((request) => !text.includes(request))).toEqual([]);
  expect(await readFile(join(SITE, 'reference/library/classes/Glovebox.html'), 'utf8')).toContain('memoryMb: ');
});

test('the site finds a word, and asks nobody else for anything', async () => {
  await using opened = await open('index.html');
  const { page, requests, complaints } = opened;
  await page.getByRole('button', { name: 'Search' }).first().click();
  await page.getByRole('searchbox').fill('hibernated session wakes');
  await page.locator('.VPLocalSearchBox a.result').first().click();
  await page.waitForURL(/#/);
  await page.locator('.vp-doc').getByText('session', { exact: false }).first().waitFor();
  expect(requests.filter((url) => !url.startsWith('http://127.0.0.1'))).toEqual([]);
  expect(complaints).toEqual([]);
});
