import { Parser } from 'htmlparser2';

/** A link of an HTML page. Attributes are by lower-case name, with character references resolved. */
export interface HtmlLink {
  readonly href: string;
  readonly attributes: Readonly<Record<string, string>>;
}

interface HtmlLinks {
  readonly links: readonly HtmlLink[];
  /** `<base href>`, the base of relative links. */
  readonly base?: string;
  /** Content of the `<meta>` elements, by name. */
  readonly metas: ReadonlyMap<string, string>;
  /** Whether the text has any element that only HTML has. */
  readonly isHtml: boolean;
}

/** Elements by which a text is recognised as HTML. */
const HTML_ELEMENTS = new Set(['!doctype', 'html', 'head', 'title', 'body', 'a', 'base', 'h1']);

/** Treats every element as empty. With a list of open elements, a hostile page would take quadratic time. */
class FlatParser extends Parser {
  protected override isVoidElement(): boolean {
    return true;
  }
}

/** Reads the links of a simple-index page (PEP 503). Its HTML need not be well-formed. */
export function readHtmlLinks(html: string): HtmlLinks {
  const links: HtmlLink[] = [];
  const metas = new Map<string, string>();
  let base: string | undefined;
  let isHtml = false;
  const checkElement = (name: string) => {
    isHtml ||= HTML_ELEMENTS.has(name);
  };
  const parser = new FlatParser({
    onprocessinginstruction: checkElement,
    onopentagname: checkElement,
    onopentag(name, attributes) {
      const { href } = attributes;
      if (name === 'a' && href !== undefined) links.push({ href, attributes });
      else if (name === 'base') base ??= href;
      else if (name === 'meta') metas.set(attributes['name'] ?? '', attributes['content'] ?? '');
    },
  });
  parser.end(html);
  return { links, metas, isHtml, ...(base === undefined ? {} : { base }) };
}

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
