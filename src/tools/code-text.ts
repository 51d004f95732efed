/** Language names that a model may put after an opening Markdown fence for Python. */
const LANGUAGE = String.raw`\{?\.?(?:python|py|ipython|jupyter|code-cell|tool_code)[\d.]*\b[^\n]*`;
const FENCED = new RegExp(
  String.raw`^((?:[^\S\n]*\n)*)[^\S\n]*(${'`'}{3,}|~{3,})[^\S\n]*(?:${LANGUAGE})?[^\S\n]*\n([^]*?\n)??[^\S\n]*\2[${'`'}~]*\s*$`,
  'i',
);

/**
 * Removes a byte order mark, and a Markdown fence around all of the code. An empty line replaces the opening fence, so
 * that line numbers in errors stay correct.
 */
export function codeText(sent: string): string {
  const text = sent.replace(/^\uFEFF/, '');
  const [, before, , inside] = FENCED.exec(text.replaceAll('\r\n', '\n')) ?? [];
  return before === undefined ? text : `${before}\n${inside ?? ''}`;
}
