import { globSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { Parser } from 'htmlparser2';

interface BuiltPage {
  readonly links: readonly string[];
  readonly ids: ReadonlySet<string>;
}

export interface SiteLinks {
  /** Links to other pages and files of the site that lead nowhere, with the page that has each. */
  readonly broken: readonly string[];
  /** What a browser would load from elsewhere to show a page. */
  readonly outside: readonly string[];
}

const LOADS = new Set(['script', 'link', 'img', 'iframe', 'source', 'video', 'audio']);

/** Follows all links of a built site, to the headings. @param base path below which the site is served, such as `/` */
export function followSite(folder: string, base = '/'): SiteLinks {
  const pages = new Map(globSync('**/*.html', { cwd: folder }).map((path) => [path, readBuilt(join(folder, path))]));
  const outside = [...pages].flatMap(([page, { links }]) =>
    links
      .filter((link) => link.startsWith('load ') && /^load (?:https?:)?\/\//.test(link))
      .map((link) => `${page}: ${link}`),
  );
  const broken = [...pages].flatMap(([page, { links }]) =>
    links
      .map((link) => link.replace(/^load /, ''))
      .filter((link) => !/^(?:[a-z][a-z+.-]*:|\/\/)/i.test(link) && !leads(folder, base, page, link, pages))
      .map((link) => `${page}: ${link}`),
  );
  return { broken, outside };
}

function leads(
  folder: string,
  base: string,
  page: string,
  link: string,
  pages: ReadonlyMap<string, BuiltPage>,
): boolean {
  const [path = '', fragment = ''] = link.split('#').map(decodeURIComponent);
  const absolute = path.startsWith(base)
    ? resolve(folder, path.slice(base.length))
    : resolve(folder, dirname(page), path);
  const target =
    path === '' ? page : relative(folder, path === '' || path.endsWith('/') ? join(absolute, 'index.html') : absolute);
  if (!statSync(join(folder, target), { throwIfNoEntry: false })?.isFile()) return false;
  return fragment === '' || (pages.get(target)?.ids.has(fragment) ?? true);
}

function readBuilt(path: string): BuiltPage {
  const links: string[] = [];
  const ids = new Set<string>();
  const parser = new Parser({
    onopentag: (name, { href, src, id }) => {
      if (id !== undefined) ids.add(id);
      for (const link of [href, src]) if (link !== undefined) links.push(LOADS.has(name) ? `load ${link}` : link);
    },
  });
  parser.end(readFileSync(path, 'utf8'));
  return { links, ids };
}
