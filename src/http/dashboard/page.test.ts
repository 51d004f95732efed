import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startProtocolServer } from '../../../test/mcp/protocol-server.ts';
import { type RawRequest, sendRaw } from '../../../test/support/raw-request.ts';
import { createAuthenticator } from '../auth/auth.ts';
import { createPage } from './page.ts';
import { readPageFiles } from './page-files.ts';

const SCRIPT = 'console.log(1);\n';
const BROWSER = { accept: 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8' };

let folder: string;
let server: Awaited<ReturnType<typeof startProtocolServer>>;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'glovebox-page-'));
  mkdirSync(join(folder, 'page'));
  writeFileSync(join(folder, 'index.html'), '<!doctype html><script nonce="__NONCE__"></script>');
  writeFileSync(join(folder, 'page/index-abcd1234.js'), SCRIPT);
  writeFileSync(join(folder, 'page/index-abcd1234.js.gz'), gzipSync(SCRIPT));
  writeFileSync(join(folder, 'page/frame.html'), '<!doctype html>');
  writeFileSync(join(folder, 'secret'), 'not of the page');
  server = await startProtocolServer({
    app: {
      page: createPage(() => readPageFiles(folder)),
      authenticate: createAuthenticator({
        find: (key) => (key === 'right' ? { id: 'someone.1', name: 'someone' } : undefined),
      }),
    },
  });
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

const send = (path: string, sent?: RawRequest) => sendRaw(server.port, path, sent);

describe('GET /', () => {
  test('is the page for a browser, which needs no key for it', async () => {
    const { status, headers, text } = await send('/', { headers: BROWSER });
    expect(status).toBe(200);
    expect(headers).toMatchObject({ 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' });
    expect(headers).not.toHaveProperty('set-cookie');
    const nonce = /nonce="([\w+/=]{24})"/.exec(text)?.[1];
    const policy = String(headers['content-security-policy']);
    expect(policy).toContain(`'nonce-${nonce}'`);
    expect(policy).toMatch(/^default-src 'none'; script-src 'self'; /);
    expect(policy).not.toMatch(/unsafe|https?:|\*/);
  });

  test('has another nonce each time', async () => {
    const one = await send('/', { headers: BROWSER });
    expect((await send('/', { headers: BROWSER })).text).not.toBe(one.text);
  });

  test.each([{}, { accept: '*/*' }, { accept: 'application/json' }])('still needs a key for %j', async (headers) => {
    expect((await send('/', { headers })).status).toBe(401);
    const { status, text } = await send('/', { headers: { ...headers, 'x-api-key': 'right' } });
    expect(status).toBe(200);
    expect(text).toContain('/sessions/:id');
  });
});

describe('a file of the page', () => {
  test('is sent compressed to whoever can read it so, and kept for ever, as its name changes with its content', async () => {
    const plain = await send('/page/index-abcd1234.js');
    expect(plain.text).toBe(SCRIPT);
    expect(plain.headers).toMatchObject({
      'content-type': 'text/javascript; charset=utf-8',
      'cache-control': 'public, max-age=31536000, immutable',
      'content-length': String(SCRIPT.length),
    });
    const packed = await fetch(`http://localhost:${server.port}/page/index-abcd1234.js`);
    expect(packed.headers.get('content-encoding')).toBe('gzip');
    expect(await packed.text()).toBe(SCRIPT);
  });

  test('that shows results has an origin of its own, and no network', async () => {
    const { headers } = await send('/page/frame.html');
    expect(headers['cache-control']).toBe('no-cache');
    expect(headers['content-security-policy']).toMatch(/^sandbox allow-scripts; default-src 'none'; /);
    expect(headers['content-security-policy']).toContain("frame-ancestors 'self'");
  });

  test.each([
    '/page/',
    '/page/none.js',
    '/page/../secret',
    '/page/%2e%2e/secret',
    '/page/..%2fsecret',
    '/page/index-abcd1234.js.gz',
  ])('is none at %s', async (path) => {
    const { status, text } = await send(path, { headers: { 'x-api-key': 'right' } });
    expect(status).toBe(404);
    expect(text).not.toContain('not of the page');
  });

  test('cannot be changed', async () => {
    const headers = { 'x-api-key': 'right' };
    expect((await send('/page/frame.html', { method: 'DELETE', headers })).status).toBe(404);
  });
});

test('a page that has not been built leaves browsers the list of routes', () => {
  const page = createPage(() => readPageFiles(join(folder, 'none')));
  const request = new Request('http://localhost/', { headers: BROWSER });
  expect(page(request, '/')).toBeUndefined();
});
