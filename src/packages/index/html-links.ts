/** An anchor of an HTML page: its attributes by lower-case name, character references resolved. */
export interface HtmlLink {
  readonly href: string;
  readonly attributes: ReadonlyMap<string, string>;
}

interface HtmlLinks {
  readonly links: readonly HtmlLink[];
  /** `<base href>`, which relative links start from. */
  readonly base?: string;
  /** `<meta>` elements: their content by name. */
  readonly metas: ReadonlyMap<string, string>;
  /** Whether anything in it looked like HTML at all. */
  readonly isHtml: boolean;
}

const TAG_NAME = /!?[a-z][a-z0-9]*/iy;
const BETWEEN_ATTRIBUTES = /[\s/]*/y;
const ATTRIBUTE_NAME = /[^\s>/=][^\s>/=]*(\s*=\s*)?/y;
const BARE_VALUE = /[^\s>]*/y;
const TELLING = new Set(['!doctype', 'html', 'head', 'title', 'body', 'a', 'base', 'h1']);
const NAMED: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'", nbsp: ' ' };

/**
 * The links of a simple-index page (PEP 503), which is HTML that no tool needs to be well-formed.
 * Reads forward only, as browsers do: what is opened and never closed goes on to the end of the page.
 */
export function readHtmlLinks(html: string): HtmlLinks {
  const links: HtmlLink[] = [];
  const metas = new Map<string, string>();
  let base: string | undefined;
  let isHtml = false;
  for (let at = html.indexOf('<'); at >= 0; at = html.indexOf('<', at)) {
    if (html.startsWith('<!--', at)) {
      at = endOf(html.indexOf('-->', at + 4), html);
      continue;
    }
    const tag = readAt(TAG_NAME, html, at + 1)?.[0].toLowerCase();
    if (tag === undefined) {
      at += 1;
      continue;
    }
    isHtml ||= TELLING.has(tag);
    const { attributes, end } = readAttributes(html, at + 1 + tag.length);
    at = end;
    const href = attributes.get('href');
    if (tag === 'a' && href !== undefined) links.push({ href, attributes });
    else if (tag === 'base') base ??= href;
    else if (tag === 'meta') metas.set(attributes.get('name') ?? '', attributes.get('content') ?? '');
    else if (tag === 'script' || tag === 'style') at = endOf(findEndTag(html, tag, at), html);
  }
  return { links, metas, isHtml, ...(base === undefined ? {} : { base }) };
}

/** Attributes up to the `>` that ends their tag. */
function readAttributes(html: string, start: number): { attributes: Map<string, string>; end: number } {
  const attributes = new Map<string, string>();
  let at = start;
  while (at < html.length) {
    at += readAt(BETWEEN_ATTRIBUTES, html, at)?.[0].length ?? 0;
    if (html[at] === '>') return { attributes, end: at + 1 };
    const name = readAt(ATTRIBUTE_NAME, html, at);
    // A stray "=".
    at += name?.[0].length ?? 1;
    if (!name) continue;
    const value = name[1] === undefined ? { text: '', end: at } : readValue(html, at);
    at = value.end;
    const key = name[0].slice(0, name[0].length - (name[1]?.length ?? 0)).toLowerCase();
    // The first of two attributes counts, as in browsers.
    if (!attributes.has(key)) attributes.set(key, unescapeHtml(value.text));
  }
  return { attributes: new Map(), end: html.length };
}

function readValue(html: string, at: number): { text: string; end: number } {
  const quote = html[at];
  if (quote !== '"' && quote !== "'") {
    const text = readAt(BARE_VALUE, html, at)?.[0] ?? '';
    return { text, end: at + text.length };
  }
  const end = endOf(html.indexOf(quote, at + 1), html);
  return { text: html.slice(at + 1, end), end: end + 1 };
}

function findEndTag(html: string, tag: string, from: number): number {
  const pattern = new RegExp(`</${tag}`, 'gi');
  pattern.lastIndex = from;
  return pattern.exec(html)?.index ?? -1;
}

function endOf(found: number, html: string): number {
  return found < 0 ? html.length : found;
}

function readAt(sticky: RegExp, html: string, at: number): RegExpExecArray | null {
  sticky.lastIndex = at;
  return sticky.exec(html);
}

function unescapeHtml(text: string): string {
  if (!text.includes('&')) return text;
  return text.replace(/&(?:#(\d{1,7})|#x([0-9a-f]{1,6})|([a-z]{2,4}));/gi, (whole, decimal, hex, name) => {
    if (name) return NAMED[String(name).toLowerCase()] ?? whole;
    const code = decimal ? Number(decimal) : Number.parseInt(String(hex), 16);
    return code > 0 && code <= 0x10ffff ? String.fromCodePoint(code) : '';
  });
}

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
