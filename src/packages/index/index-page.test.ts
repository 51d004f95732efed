import { expect, test } from 'vitest';
import { readHtmlLinks } from './html-links.ts';
import { parseProjectPage } from './index-page.ts';

const PAGE = 'https://index.example/simple/demo/';
const SHA = 'a'.repeat(64);

function html(body: string) {
  return parseProjectPage('demo', body, 'text/html; charset=utf-8', PAGE).files;
}

test('reads links, hashes and attributes, whatever their quotes and case', () => {
  const [file] = html(
    `<!DOCTYPE html><A data-requires-python='&gt;=3.8,&#60;4' HREF = "../../f/demo-1.0-py3-none-any.whl#sha256=${SHA.toUpperCase()}"
       data-yanked="broken &amp; bad" data-dist-info-metadata=sha256=${SHA}>demo</A>`,
  );
  expect(file).toEqual({
    filename: 'demo-1.0-py3-none-any.whl',
    url: 'https://index.example/f/demo-1.0-py3-none-any.whl',
    id: SHA,
    hashes: { sha256: SHA },
    kind: 'wheel',
    version: '1.0',
    requiresPython: '>=3.8,<4',
    yanked: 'broken & bad',
    coreMetadata: { sha256: SHA },
  });
});

test('relative links start from <base href>', () => {
  const [file] = html('<html><head><base href="https://files.example/x/"></head><a href="demo-1.0.tar.gz">d</a>');
  expect(file?.url).toBe('https://files.example/x/demo-1.0.tar.gz');
});

test('links in comments and scripts, without href, or to other things are left out', () => {
  const files = html(
    `<html><!-- <a href="demo-1.0.tar.gz"> --><script>"<a href='demo-1.1.tar.gz'>"</script>
     <abbr href="demo-1.2.tar.gz"><a name="demo-1.3.tar.gz"><a href="other-1.4.tar.gz"><a href="demo-1.5.exe">
     <a href="http://[bad/demo-1.6.tar.gz"><a title=">" href="demo-1.7.tar.gz">`,
  );
  expect(files.map(({ version }) => version)).toEqual(['1.7']);
});

test.each([
  ['<![CDATA[<a href="demo-1.0.tar.gz">]]><a href="demo-2.0.tar.gz">', ['2.0']],
  ['<title><a href="demo-1.0.tar.gz"></title><a href="demo-2.0.tar.gz">', ['2.0']],
  ['<!--><a href="demo-1.0.tar.gz">-->', ['1.0']],
  ['<a-b href="demo-1.0.tar.gz"><a:b href="demo-1.1.tar.gz"><a href="demo-2.0.tar.gz">', ['2.0']],
  ['<a href="demo-1&#46;0.tar.gz?a&copy=b">', ['1.0']],
  ['<a href="demo-1.0.tar.gz" href="demo-2.0.tar.gz">', ['1.0']],
])('%s has the links that a browser finds', (body, versions) => {
  expect(html(body).map(({ version }) => version)).toEqual(versions);
});

test('a file without a sha256 is told apart by where it is', () => {
  const files = html('<a href="demo-1.0.tar.gz#md5=d41d8cd98f00b204e9800998ecf8427e"><a href="x/demo-1.0.tar.gz">');
  expect(files.map(({ id, hashes }) => [/^u[0-9a-f]{64}$/.test(id), hashes])).toEqual([
    [true, {}],
    [true, {}],
  ]);
  expect(files[0]?.id).not.toBe(files[1]?.id);
});

test('names and passwords in links are dropped', () => {
  expect(html('<a href="https://u:p@files.example/demo-1.0.tar.gz">')[0]?.url).toBe(
    'https://files.example/demo-1.0.tar.gz',
  );
});

test('reads JSON, and leaves out what it cannot read', () => {
  const body = JSON.stringify({
    meta: { 'api-version': '1.1' },
    files: [
      {
        filename: 'demo-1.0-py3-none-any.whl',
        url: 'https://f/1',
        hashes: { sha256: SHA },
        size: 7,
        yanked: '',
        'core-metadata': true,
        'upload-time': '2024',
      },
      {
        filename: 'demo-1.1.tar.gz',
        url: 'rel',
        hashes: { sha512: 'b'.repeat(128), md5: 'c' },
        yanked: false,
        'core-metadata': false,
        'dist-info-metadata': { sha256: SHA },
      },
      { filename: 5, url: 'x' },
      null,
    ],
  });
  const { files } = parseProjectPage('demo', body, 'application/vnd.pypi.simple.v1+json', PAGE);
  expect(files).toMatchObject([
    { id: SHA, size: 7, yanked: true, coreMetadata: {}, uploadTime: '2024' },
    { url: `${PAGE}rel`, hashes: { sha512: 'b'.repeat(128) } },
  ]);
  expect(files).toHaveLength(2);
  expect(files[1]).not.toHaveProperty('coreMetadata');
});

test.each([
  ['size'],
  ['requires-python'],
  ['hashes'],
  ['yanked'],
  ['upload-time'],
  ['core-metadata'],
  ['dist-info-metadata'],
  ['gpg-sig'],
  ['filename'],
])('a file whose %s is null is taken, as pip takes it', (key) => {
  const file = { filename: 'demo-1.0.tar.gz', url: '../f/demo-1.0.tar.gz', hashes: { sha256: SHA }, size: 7 };
  const body = JSON.stringify({ files: [{ ...file, [key]: null }], versions: null, 'project-status': null });
  const { files } = parseProjectPage('demo', body, 'application/json', PAGE);
  expect(files).toMatchObject([{ filename: file.filename, kind: 'sdist', version: '1.0' }]);
  expect(files[0]).not.toHaveProperty('yanked');
  expect(files[0]).not.toHaveProperty('coreMetadata');
});

test('what only informs and cannot be read is left out, not the file', () => {
  const odd = { size: '7', 'upload-time': 5, 'core-metadata': 'yes', hashes: { sha256: null, md5: 7 }, yanked: ['x'] };
  const body = JSON.stringify({ files: [{ filename: 'demo-1.0.tar.gz', url: 'demo-1.0.tar.gz', ...odd }] });
  const { files } = parseProjectPage('demo', body, 'application/json', PAGE);
  expect(files).toEqual([expect.objectContaining({ hashes: {}, yanked: true, version: '1.0' })]);
});

test.each([
  ['application/json', (status: string, reason: string) => JSON.stringify({ 'project-status': { status, reason } })],
  [
    'text/html',
    (status: string, reason: string) =>
      `<html><meta name="pypi:project-status" content="${status}"><meta content='${reason}' name="pypi:project-status-reason">`,
  ],
])('reads what an index says of a project from %s', (type, page) => {
  const read = (status: string, reason = '') => parseProjectPage('demo', page(status, reason), type, PAGE).status;
  expect(read('archived')).toEqual({ status: 'archived' });
  expect(read('Quarantined', 'by \u0085 hand')).toEqual({ status: 'quarantined', reason: 'by hand' });
  expect(read('deprecated', 'x'.repeat(5000))?.reason).toHaveLength(300);
  for (const other of ['active', 'toString', 'retired', '']) expect(read(other)).toBeUndefined();
});

test.each([
  ['text/html', 'plain words'],
  ['text/html', ''],
  ['application/json', '<html>'],
  ['application/vnd.pypi.simple.v1+json', '{"files": 1}'],
  ['image/png', '<a href="demo-1.0.tar.gz">'],
])('%s %j is no index page', (type, body) => {
  expect(() => parseProjectPage('demo', body, type, PAGE)).toThrow('not an index page');
});

test('an index without files of a project is a page', () => {
  expect(html('<!DOCTYPE html><html><body></body></html>')).toEqual([]);
});

test.each([
  ['<a '.repeat(100_000), 'openings'],
  [`<a ${'x="'.repeat(100_000)}`, 'quotes'],
  ['<!--'.repeat(100_000), 'comments'],
  [`<a href=${'x'.repeat(300_000)}`, 'a long value'],
  ['<script'.repeat(50_000), 'scripts'],
  ['<div>'.repeat(100_000) + '</span>'.repeat(100_000), 'elements that are not closed'],
])('hostile HTML (%#) takes no time', (text) => {
  const began = performance.now();
  readHtmlLinks(text);
  expect(performance.now() - began).toBeLessThan(1000);
});
