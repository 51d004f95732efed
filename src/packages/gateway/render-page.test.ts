import { expect, test } from 'vitest';
import { HTML_TYPE, JSON_TYPE, negotiatePageType, renderPage } from './render-page.ts';

test.each([
  [undefined, 'text/html'],
  ['*/*', 'text/html'],
  ['text/html', 'text/html'],
  // pip
  [`${JSON_TYPE}, ${HTML_TYPE}; q=0.1, text/html; q=0.01`, JSON_TYPE],
  // uv
  [`${JSON_TYPE}, ${HTML_TYPE};q=0.2, text/html;q=0.01`, JSON_TYPE],
  ['application/vnd.pypi.simple.latest+json', JSON_TYPE],
  [`${HTML_TYPE}, ${JSON_TYPE};q=0.5`, HTML_TYPE],
  [`${JSON_TYPE};q=0, text/html`, 'text/html'],
  ['image/png', undefined],
  [`${JSON_TYPE};q=nonsense`, undefined],
])('Accept: %s', (accept, expected) => {
  expect(negotiatePageType(accept)).toBe(expected);
});

test('what an index says cannot break out of the page', () => {
  const page = {
    project: 'demo',
    files: [
      {
        filename: 'demo-1.0-py3-none-any.whl',
        url: 'https://secret.example/x',
        id: 'a'.repeat(64),
        hashes: {},
        kind: 'wheel',
        version: '1.0',
        requiresPython: '>3"><script>',
        yanked: `'"&`,
      } as const,
    ],
  };
  const html = renderPage(page, 'text/html');
  expect(html).not.toContain('<script');
  expect(html).toContain('data-yanked="&#39;&#34;&#38;"');
  expect(html + renderPage(page, JSON_TYPE)).not.toContain('secret');
});
