import { Parser } from 'htmlparser2';

/** An anchor of an HTML page: its attributes by lower-case name, character references resolved. */
export interface HtmlLink {
  readonly href: string;
  readonly attributes: Readonly<Record<string, string>>;
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

const TELLING = new Set(['!doctype', 'html', 'head', 'title', 'body', 'a', 'base', 'h1']);

/** Takes every element for one without content: the list of open ones would cost time by the square of a hostile page. */
class FlatParser extends Parser {
  protected override isVoidElement(): boolean {
    return true;
  }
}

/** The links of a simple-index page (PEP 503), which is HTML that no tool needs to be well-formed. */
export function readHtmlLinks(html: string): HtmlLinks {
  const links: HtmlLink[] = [];
  const metas = new Map<string, string>();
  let base: string | undefined;
  let isHtml = false;
  const noteKind = (name: string) => {
    isHtml ||= TELLING.has(name);
  };
  const parser = new FlatParser({
    onprocessinginstruction: noteKind,
    onopentagname: noteKind,
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
