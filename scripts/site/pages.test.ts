import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { makeSidebar } from './pages.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'glovebox-pages-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test('the sidebar has every page with its heading as text, the first page of a folder first', () => {
  const pages = {
    'docs/recipes/llama-index.md': '# LlamaIndex\n',
    'docs/recipes/index.md': '# Recipes\n',
    'index.md': '# Glovebox\n',
    'reference/library/OnEvent.md': '# Type Alias: OnEvent\\<Event\\>\n',
  };
  for (const [path, text] of Object.entries(pages)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
  expect(makeSidebar(folder, Object.keys(pages))).toEqual([
    { text: 'Project', items: [{ text: 'Glovebox', link: '/' }] },
    {
      text: 'Recipes',
      collapsed: false,
      items: [
        { text: 'Recipes', link: '/docs/recipes/' },
        { text: 'LlamaIndex', link: '/docs/recipes/llama-index' },
      ],
    },
    {
      text: 'Library',
      collapsed: true,
      items: [{ text: 'OnEvent&lt;Event>', link: '/reference/library/OnEvent' }],
    },
  ]);
});
