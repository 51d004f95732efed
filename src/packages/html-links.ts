/** An anchor of an HTML page: its attributes by lower-case name, character references resolved. */
export interface HtmlLink {
  readonly href: string;
  readonly attributes: ReadonlyMap<string, string>;
}

export interface HtmlLinks {
  readonly links: readonly HtmlLink[];
  /** `<base href>`, which relative links start from. */
  readonly base?: string;
  /** Whether anything in it looked like HTML at all. */
  readonly isHtml: boolean;
}

/** A start tag. Quoted values may hold `>`; each alternative begins differently, so no input makes this backtrack. */
const TAG = /<(a|base|html|head|body|title|h1|!doctype)(?=[\s/>])((?:[^>"']|"[^"]*"|'[^']*')*)>/gi;
const ATTRIBUTE = /([^\s"'<>/=]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'=<>`]+)))?/g;
const COMMENT_OR_SCRIPT = /<!--[\s\S]*?(?:-->|$)|<(script|style)\b[\s\S]*?(?:<\/\1\s*>|$)/gi;
const NAMED: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'", nbsp: ' ' };

/** The links of a simple-index page (PEP 503), which is HTML that no tool needs to be well-formed. */
export function readHtmlLinks(html: string): HtmlLinks {
  const links: HtmlLink[] = [];
  let base: string | undefined;
  let isHtml = false;
  // Only pages that have them pay for a second pass.
  const text = /<!--|<script|<style/i.test(html) ? html.replace(COMMENT_OR_SCRIPT, '') : html;
  for (const [, tag, inside] of text.matchAll(TAG)) {
    isHtml = true;
    const name = tag?.toLowerCase();
    if (name !== 'a' && name !== 'base') continue;
    const attributes = readAttributes(inside ?? '');
    const href = attributes.get('href');
    if (href === undefined) continue;
    if (name === 'a') links.push({ href, attributes });
    else base ??= href;
  }
  return { links, isHtml, ...(base === undefined ? {} : { base }) };
}

function readAttributes(text: string): Map<string, string> {
  const attributes = new Map<string, string>();
  for (const [, name, double, single, bare] of text.matchAll(ATTRIBUTE)) {
    const key = name?.toLowerCase() ?? '';
    // The first of two attributes counts, as in browsers.
    if (!attributes.has(key)) attributes.set(key, unescapeHtml(double ?? single ?? bare ?? ''));
  }
  return attributes;
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
