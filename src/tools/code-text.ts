/** What a model may put after an opening fence to say that it is Python. */
const LANGUAGE = String.raw`\{?\.?(?:python|py|ipython|jupyter|code-cell|tool_code)[\d.]*\b[^\n]*`;
const FENCED = new RegExp(
  String.raw`^((?:[^\S\n]*\n)*)[^\S\n]*(${'`'}{3,}|~{3,})[^\S\n]*(?:${LANGUAGE})?[^\S\n]*\n([^]*?\n)??[^\S\n]*\2[${'`'}~]*\s*$`,
  'i',
);

/**
 * The code that was meant: without a byte order mark, and without a Markdown fence around all of it.
 * In the fence's place stays an empty line, so that errors count the lines that were sent.
 */
export function codeText(sent: string): string {
  const text = sent.replace(/^\uFEFF/, '');
  const [, before, , inside] = FENCED.exec(text.replaceAll('\r\n', '\n')) ?? [];
  return before === undefined ? text : `${before}\n${inside ?? ''}`;
}
