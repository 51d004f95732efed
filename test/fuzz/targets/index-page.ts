import { deepEqual, equal, ok } from 'node:assert/strict';
import { HTML_TYPE, JSON_TYPE, renderPage } from '../../../src/packages/gateway/render-page.ts';
import { type ProjectPage, parseProjectPage } from '../../../src/packages/index/index-page.ts';
import { Problem } from '../../../src/packages/upstream/problem.ts';
import type { Target } from '../target.ts';

const PAGE_URL = 'https://index.example/simple/a-b/';

/** Pages of a package index. The first byte of an input chooses between HTML and JSON. */
export const indexPage: Target = {
  name: 'index-page',
  longest: 16 * 1024,
  words: [
    ...[
      '<a href="',
      '</a>',
      '<base href="',
      '<meta name="',
      '<!doctype html>',
      '<!--',
      '-->',
      '<![CDATA[',
      '&#',
      '&amp;',
      '">',
      "='",
    ],
    ...[
      'data-yanked',
      'data-requires-python',
      'data-core-metadata',
      'sha256=',
      '#sha256=',
      'pypi:project-status',
      'quarantined',
    ],
    ...[
      '{"files":[',
      '"filename":',
      '"url":',
      '"hashes":{',
      '"yanked":',
      '"size":',
      '"core-metadata":',
      '"upload-time":',
      '__proto__',
      'null',
      '\\ud800',
    ],
    ...[
      'a_b-1.0-py3-none-any.whl',
      'A.B-1.0.tar.gz',
      'https://user:pw@host/',
      '//host/',
      'data:,',
      'javascript:',
      'file:///etc/passwd',
      '%2F..%2f',
      '%zz',
      '\0',
    ],
    'a'.repeat(64),
  ],
  run(input) {
    const isHtml = (input[0] ?? 0) % 2 === 0;
    const body = input.toString('utf8', 1);
    let page: ProjectPage;
    try {
      page = parseProjectPage('a-b', body, isHtml ? 'text/html' : JSON_TYPE, PAGE_URL);
    } catch (error) {
      ok(error instanceof Problem && error.status === 422, `${error instanceof Error ? error.stack : error}`);
      return;
    }
    checkPage(page);
    rendered(page);
  },
};

function checkPage({ files, status }: ProjectPage): void {
  for (const { filename, url, id, hashes, version, size, yanked, requiresPython = '' } of files) {
    ok(/^[a-z0-9_][a-z0-9._+!~-]{0,254}$/i.test(filename) && !filename.includes('..', filename.length - 2), filename);
    const { username, password, hash } = new URL(url);
    equal(username + password + hash, '', 'an address with a password');
    ok(/^(u?)[0-9a-f]{64}$/.test(id), id);
    ok(version !== '' && (size === undefined || (Number.isSafeInteger(size) && size >= 0)));
    ok(Object.values(hashes).every((value) => /^[0-9a-f]+$/.test(value ?? '')));
    ok(yanked === undefined || yanked === true || yanked !== '');
    equal(typeof requiresPython, 'string');
  }
  if (status?.reason !== undefined) ok(!/\p{Cc}/u.test(status.reason) && status.reason.length <= 300);
}

/** What a sandbox is sent names the same files as what was read, and no address of an index. */
function rendered(page: ProjectPage): void {
  for (const type of [JSON_TYPE, HTML_TYPE] as const) {
    const text = renderPage(page, type);
    const again = parseProjectPage('a-b', text, type, 'http://127.0.0.1/simple/a-b/');
    deepEqual(
      again.files.map(({ filename, kind, version }) => ({ filename, kind, version })),
      page.files.map(({ filename, kind, version }) => ({ filename, kind, version })),
      `as ${type} it has other files`,
    );
    for (const [index, { url }] of again.files.entries()) {
      const path = new URL(url).pathname;
      equal(path, `/files/a-b/${page.files[index]?.id}/${encodeURIComponent(page.files[index]?.filename ?? '')}`);
    }
    deepEqual(again.status, page.status);
  }
}
