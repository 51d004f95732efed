import {
  applyEdits,
  type FormattingOptions,
  findNodeAtLocation,
  modify,
  type ParseError,
  parse,
  parseTree,
  printParseErrorCode,
} from 'jsonc-parser';
import { BrokenTextError, type Format, type KeyPath, lineEndOf, nest } from './format.ts';

/** JSON, with comments and trailing commas where a file has them. */
export const json: Format = {
  parse(text) {
    const errors: ParseError[] = [];
    const value: unknown = parse(text, errors, { allowTrailingComma: true, allowEmptyContent: true });
    const [first] = errors;
    if (first) throw new BrokenTextError(sentence(printParseErrorCode(first.error)), positionOf(text, first.offset));
    return value === undefined ? {} : value;
  },
  set(text, path, value) {
    const whole = text.trim() === '' ? '{}' : text;
    const style = styleOf(text);
    const changed =
      insertLine(text, path, value) ?? applyEdits(whole, modify(whole, [...path], value, { formattingOptions: style }));
    return changed.endsWith('\n') ? changed : changed + style.eol;
  },
  print: (path, value) => `${JSON.stringify(nest(path, value), undefined, 2)}\n`,
};

/**
 * Puts a property on lines of its own after the last one, so that a comment behind that stays with it. Undefined where
 * there is none, or properties share a line.
 */
function insertLine(text: string, path: KeyPath, value: unknown): string | undefined {
  const root = parseTree(text, [], { allowTrailingComma: true });
  if (!root || findNodeAtLocation(root, [...path])) return undefined;
  const map = findNodeAtLocation(root, path.slice(0, -1));
  const last = map?.type === 'object' ? map.children?.at(-1) : undefined;
  if (!last) return undefined;
  const end = last.offset + last.length;
  const [rest = ''] = /^[^\r\n]*/.exec(text.slice(end)) ?? [];
  const before = text.slice(text.lastIndexOf('\n', last.offset) + 1, last.offset);
  if (!/^[ \t]*$/.test(before) || !/^\s*,?\s*(\/\/.*|\/\*.*\*\/\s*)?$/.test(rest)) return undefined;
  const { eol, insertSpaces, tabSize } = styleOf(text);
  const lines = JSON.stringify(value, undefined, insertSpaces ? tabSize : '\t').split('\n');
  const hasComma = /^\s*,/.test(rest);
  const property = `${before}${JSON.stringify(path.at(-1))}: ${lines.join(eol + before)}${hasComma ? ',' : ''}`;
  return `${text.slice(0, end)}${hasComma ? '' : ','}${rest}${eol}${property}${text.slice(end + rest.length)}`;
}

/** `Comma expected` for `CommaExpected`. */
function sentence(code: string): string {
  const words = code.replaceAll(/(?<=[a-z])[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
  return words.charAt(0).toUpperCase() + words.slice(1);
}

function positionOf(text: string, offset: number): { line: number; column: number } {
  const before = text.slice(0, offset).split('\n');
  return { line: before.length, column: (before.at(-1)?.length ?? 0) + 1 };
}

/** The indentation of the first line that has one. */
function styleOf(text: string): Required<Pick<FormattingOptions, 'insertSpaces' | 'tabSize' | 'eol'>> {
  const [, indent = '  '] = /^([ \t]+)\S/m.exec(text) ?? [];
  const tabs = indent.startsWith('\t');
  return { insertSpaces: !tabs, tabSize: tabs ? 1 : indent.length, eol: lineEndOf(text) };
}
