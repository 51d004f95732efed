import { expect, test } from 'vitest';
import { proxyFor } from './proxy.ts';

const PROXY = { HTTPS_PROXY: 'http://u:p@proxy:3128', http_proxy: 'proxy:8080' };

test.each([
  ['https://index.example/', '', 'http://u:p@proxy:3128/'],
  ['http://index.example/', '', 'http://proxy:8080/'],
  ['https://index.example/', '*', undefined],
  ['https://index.example/', 'other,index.example', undefined],
  ['https://a.index.example/', '.index.example', undefined],
  ['https://a.index.example/', 'index.example', undefined],
  ['https://notindex.example/', 'index.example', 'http://u:p@proxy:3128/'],
  ['https://index.example:8443/', 'index.example:8443', undefined],
  ['https://index.example/', 'index.example:8443', 'http://u:p@proxy:3128/'],
  ['https://10.1.2.3/', '10.0.0.0/8', undefined],
  ['https://11.1.2.3/', '10.0.0.0/8', 'http://u:p@proxy:3128/'],
  ['https://[fd00::1]/', 'fd00::/8 ::1', undefined],
  ['https://[::1]/', '::1', undefined],
  ['https://index.example/', '10.0.0.0/99,x/y', 'http://u:p@proxy:3128/'],
])('%s with NO_PROXY=%s goes through %s', (url, exempt, expected) => {
  expect(proxyFor(new URL(url), { ...PROXY, NO_PROXY: exempt })?.href).toBe(expected);
});

test('the proxy for http is not asked for https', () => {
  expect(proxyFor(new URL('https://index.example/'), { HTTP_PROXY: 'http://proxy:8080' })).toBeUndefined();
});

test('a proxy that speaks no HTTP is refused, without its password', () => {
  const use = () => proxyFor(new URL('https://x/'), { HTTPS_PROXY: 'socks5://u:secret@proxy:1080' });
  expect(use).toThrow('not an http:// or https:// URL');
  expect(use).not.toThrow('secret');
});
