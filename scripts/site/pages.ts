import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, extname, join } from 'node:path';
import { linksOf, listPages } from '../check-links.ts';
import type { Page } from './api-pages.ts';

/** The page that a folder, or the site, begins with. */
const FIRST = 'README.md';

/** Where a page of the repository is among those of the site. */
export function placeOf(page: string): string {
  return basename(page) === FIRST ? join(dirname(page), 'index.md') : page;
}

/** Lays the pages of the repository, the files that they show, and the given ones into an empty folder. */
export function layPages(root: string, folder: string, made: readonly Page[]): void {
  rmSync(folder, { recursive: true, force: true });
  const pages = listPages(root);
  for (const page of pages) write(join(folder, placeOf(page)), readPage(root, page));
  for (const { path, text } of made) write(join(folder, path), text);
  const shown = pages.flatMap((page) => linksOf(root, page).map(({ target }) => target));
  for (const file of new Set(shown.filter((target) => !['', '.md'].includes(extname(target))))) {
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    copyFileSync(join(root, file), join(folder, file));
  }
}

/** A page whose links to first pages lead to where these are in the site. */
function readPage(root: string, page: string): string {
  const text = readFileSync(join(root, page), 'utf8');
  return text.replaceAll(/(\]\((?:[^)\s#]*\/)?)README\.md(?=[)#])/g, '$1index.md');
}

function write(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}

/** The heading of a page of the site. */
function titleOf(folder: string, page: string): string {
  const [, title = page] = /^# (.+)$/m.exec(readFileSync(join(folder, page), 'utf8')) ?? [];
  // The sidebar takes it for HTML.
  return title
    .replace(/^(?:Interface|Class|Type Alias|Variable|Function): /, '')
    .replaceAll(/[`\\]/g, '')
    .replaceAll('<', '&lt;');
}

/** Groups of the sidebar by the folders in which their pages are; a page is in the first one that has it. */
const GROUPS: readonly (readonly [title: string, folder: string, collapsed: boolean])[] = [
  ['Recipes', 'docs/recipes/', false],
  ['Decisions', 'docs/decisions/', true],
  ['Runbooks', 'docs/runbooks/', true],
  ['REST API', 'reference/rest/', true],
  ['Library', 'reference/library/', true],
  ['Guide', 'docs/', false],
  ['Project', '', false],
];

export interface SidebarGroup {
  readonly text: string;
  readonly collapsed?: boolean;
  readonly items: readonly { readonly text: string; readonly link: string }[];
}

/** What the sidebar shows: every page of the site, the first page of each folder before the others. */
export function makeSidebar(folder: string, pages: readonly string[]): SidebarGroup[] {
  const isFirst = (page: string) => basename(page) === 'index.md';
  const left = new Set(pages.toSorted((a, b) => Number(isFirst(b)) - Number(isFirst(a)) || a.localeCompare(b)));
  const groups = GROUPS.map(([text, prefix, collapsed]) => {
    const own = [...left].filter((page) => page.startsWith(prefix));
    for (const page of own) left.delete(page);
    const items = own.map((page) => ({
      text: titleOf(folder, page),
      link: `/${isFirst(page) ? page.slice(0, -'index.md'.length) : page.slice(0, -'.md'.length)}`,
    }));
    return { text, items, ...(prefix === 'docs/' || prefix === '' ? {} : { collapsed }) };
  });
  const [recipes, decisions, runbooks, rest, library, guide, project] = groups;
  return [project, guide, recipes, runbooks, rest, library, decisions]
    .filter((group) => group !== undefined)
    .filter(({ items }) => items.length > 0);
}
