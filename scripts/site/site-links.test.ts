import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { followSite } from './site-links.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'glovebox-site-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test('links of a built site that lead nowhere are found, and what it loads from elsewhere', () => {
  mkdirSync(join(folder, 'docs'));
  writeFileSync(join(folder, 'style.css'), '');
  writeFileSync(
    join(folder, 'docs/index.html'),
    '<h1 id="top">x</h1><a href="../index.html#own">up</a><a href="#top">x</a>',
  );
  const links = [
    '/base/docs/',
    '/base/docs/index.html#top',
    'docs/index.html#none',
    '/base/none.html',
    '/docs/',
    '#own',
  ];
  writeFileSync(
    join(folder, 'index.html'),
    `<link href="/base/style.css"><script src="https://elsewhere.example/x.js"></script><p id="own">${links
      .map((link) => `<a href="${link}">x</a>`)
      .join('')}<a href="https://example.com">outside</a>`,
  );
  expect(followSite(folder, '/base/')).toEqual({
    broken: ['index.html: docs/index.html#none', 'index.html: /base/none.html', 'index.html: /docs/'],
    outside: ['index.html: load https://elsewhere.example/x.js'],
  });
});
