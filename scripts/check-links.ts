/**
 * Checks the links of all Markdown pages to other places of the repository: the page and the heading if one is named, or a
 * file that the documentation's site has, too. Links that lead outside are not followed.
 */
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';

export interface Link {
  readonly page: string;
  /** As it is written. */
  readonly link: string;
  /** What is meant, relative to the root. */
  readonly target: string;
  readonly fragment: string;
}

/** Inline, `[text](link)` or `![text](link "title")`, as a definition, `[name]: link`, and in HTML. */
const LINKS = [
  /\]\(<?([^)\s>]+)>?(?: "[^"]*")?\)/g,
  /^\[[^\]]+\]: +<?([^\s>]+)/gm,
  /<(?:a|img)\b[^>]*?\b(?:href|src)="([^"]+)"/g,
];

/** Files that the site has as they are. It takes a link to any other file, or to a folder, for one to a page. */
const SHOWN = /\.(?:gif|jpe?g|json|pdf|png|svg|txt|webp|ya?ml)$/;

/** All pages below `root`: those at the top, and all in docs/ and examples/. */
export function listPages(root: string): string[] {
  return globSync(['*.md', 'docs/**/*.md', 'examples/**/*.md'], { cwd: root }).toSorted();
}

/** A page without its examples, in which nothing is a link or a heading. */
function prose(text: string): string {
  return text.replaceAll(/^( *)(```+|~~~+)[\s\S]*?^\1\2$/gm, '').replaceAll(/<!--[\s\S]*?-->/g, '');
}

/** The fragment by which a heading is linked, as code hosts make it. */
export function fragmentOf(heading: string): string {
  return heading
    .trim()
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{M}\p{N}\p{Pc} -]/gu, '')
    .replaceAll(' ', '-');
}

/** The fragments of a page; of headings with the same words, the later ones end with a number. */
export function fragmentsOf(text: string): Set<string> {
  const fragments = new Set<string>();
  for (const [, heading = ''] of prose(text).matchAll(/^#{1,6} +(.+?)(?: +#+)?$/gm)) {
    const fragment = fragmentOf(heading.replaceAll(/!?\[([^\]]*)\]\([^)]*\)/g, '$1'));
    let number = 0;
    while (fragments.has(number === 0 ? fragment : `${fragment}-${number}`)) number += 1;
    fragments.add(number === 0 ? fragment : `${fragment}-${number}`);
  }
  for (const [, id = ''] of text.matchAll(/<a\b[^>]*?\b(?:id|name)="([^"]+)"/g)) fragments.add(id);
  return fragments;
}

/** The links of a page to places of the repository. */
export function linksOf(root: string, page: string): Link[] {
  // Code in a line has no links, and text before a bracket may be code.
  const text = prose(readFileSync(join(root, page), 'utf8')).replaceAll(/(?<!\[)`[^`\n]+`(?!\])/g, '');
  const links = LINKS.flatMap((pattern) => [...text.matchAll(pattern)].map(([, link = '']) => link));
  return links
    .filter((link) => !/^(?:[a-z][a-z+.-]*:|\/\/)/i.test(link))
    .map((link) => {
      const [path = '', fragment = ''] = link.split('#').map(decodeURIComponent);
      const target = path === '' ? page : relative(root, resolve(root, dirname(page), path));
      return { page, link, target, fragment };
    });
}

/** Links that lead nowhere in the repository, or in the site. */
export function findBrokenLinks(root: string, pages: readonly string[] = listPages(root)): Link[] {
  const known = new Map<string, Set<string>>();
  const has = (target: string, fragment: string) => {
    const fragments = known.get(target) ?? fragmentsOf(readFileSync(join(root, target), 'utf8'));
    known.set(target, fragments);
    return fragments.has(fragment);
  };
  const listed = new Set(listPages(root));
  return pages
    .flatMap((page) => linksOf(root, page))
    .filter(({ target, fragment }) => {
      if (target.startsWith('..') || !existsSync(join(root, target))) return true;
      if (!listed.has(target) && !SHOWN.test(target)) return true;
      return fragment !== '' && target.endsWith('.md') && !has(target, fragment);
    });
}

if (import.meta.main) {
  const broken = findBrokenLinks(process.cwd());
  for (const { page, link } of broken)
    process.stdout.write(`${page}: ${link} leads to no page and no picture; name other files without a link\n`);
  process.exitCode = broken.length === 0 ? 0 : 1;
}
