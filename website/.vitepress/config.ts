import { readFileSync } from 'node:fs';
import { defineConfig } from 'vitepress';
import { fragmentOf } from '../../scripts/check-links.ts';

/** The pages in the order of the site, which scripts/site.ts writes with them. */
const sidebar = JSON.parse(readFileSync(new URL('../pages/sidebar.json', import.meta.url), 'utf8'));

export default defineConfig({
  title: 'Glovebox',
  description: 'A sandbox manager for untrusted Python: every session in its own sealed container, over MCP and REST.',
  lang: 'en',
  srcDir: 'pages',
  ignoreDeadLinks: 'localhostLinks',
  outDir: '../site',
  // Markdown as code hosts read it: headings have the same fragments, and braces are text.
  markdown: {
    anchor: { slugify: fragmentOf },
    attrs: { disable: true },
    // A notation of docs/protocol.md alone, without colours.
    languages: [{ name: 'frames', scopeName: 'text.frames', patterns: [], repository: {} }],
  },
  themeConfig: {
    sidebar,
    outline: [2, 3],
    search: { provider: 'local' },
    nav: [
      { text: 'Settings', link: '/docs/settings' },
      { text: 'Security', link: '/docs/security' },
      { text: 'REST API', link: '/reference/rest/' },
      { text: 'Library', link: '/reference/library/' },
    ],
  },
});
