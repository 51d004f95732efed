import { parse, stringify, TomlError } from 'smol-toml';
import { BrokenTextError, type Format, lineEndOf, nest } from './format.ts';

/** TOML. No library keeps comments, so a table is taken out and appended as text. */
export const toml: Format = {
  parse(text) {
    try {
      // Its maps have no prototype, which would make them differ from those of other formats.
      return structuredClone(parse(text, { integersAsBigInt: 'asNeeded' }));
    } catch (error) {
      if (!(error instanceof TomlError)) throw error;
      const [problem = ''] = error.message.replace(/^Invalid TOML document: /, '').split('\n');
      throw new BrokenTextError(problem, error);
    }
  },
  set(text, path, value, replaces) {
    const kept = replaces ? withoutTable(text, path) : text;
    const table = stringify(nest(path, value)).replaceAll('\n', lineEndOf(text));
    const gap = kept.trim() === '' ? '' : lineEndOf(text);
    const ended = kept === '' || kept.endsWith('\n') ? kept : kept + lineEndOf(text);
    return `${ended}${gap}${table}${lineEndOf(text)}`.replace(/\s+$/, lineEndOf(text));
  },
  print: (path, value) => `${stringify(nest(path, value)).trimEnd()}\n`,
};

/** Takes a table and the tables below it out of a text, up to the last line of each that is no comment. */
function withoutTable(text: string, path: readonly string[]): string {
  const lines = text.split('\n');
  const kept: string[] = [];
  for (let index = 0; index < lines.length; ) {
    const end = nextHeader(lines, index + 1);
    if (isWithin(lines[index] ?? '', path)) index = endOfTable(lines, index, end);
    for (; index < end; index += 1) kept.push(lines[index] ?? '');
  }
  return kept.join('\n');
}

const HEADER = /^\s*\[/;

function nextHeader(lines: readonly string[], from: number): number {
  const found = lines.findIndex((line, index) => index >= from && HEADER.test(line));
  return found === -1 ? lines.length : found;
}

/** Returns the line after a table: blank lines and comments at its end belong to what follows. */
function endOfTable(lines: readonly string[], start: number, end: number): number {
  let last = end;
  while (last > start + 1 && /^\s*(#|$)/.test(lines[last - 1] ?? '')) last -= 1;
  return last;
}

/** Whether a line is the header of the table, or of one below it. Both ways to quote a key are known. */
function isWithin(line: string, path: readonly string[]): boolean {
  const keys = path.map((key) => `\\s*["']?${key.replaceAll(/[^\w-]/g, '\\$&')}["']?\\s*`);
  return new RegExp(`^\\s*\\[${keys.join('\\.')}[.\\]]`).test(line);
}
