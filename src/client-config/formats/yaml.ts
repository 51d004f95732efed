import { isDeepStrictEqual } from 'node:util';
import { type Document, isMap, isScalar, type Node, parseDocument, stringify, type YAMLMap } from 'yaml';
import { BrokenTextError, type Format, type KeyPath, lineEndOf, nest } from './format.ts';

/** Long texts are not folded: a path on two lines is hard to read. */
const STYLE = { lineWidth: 0 } as const;

/** YAML. Where that gives the right document, a value is put in as text and all else stays as it is written. */
export const yaml: Format = {
  parse: (text) => read(text).toJS() ?? {},
  set(text, path, value, replaces) {
    const rewritten = rewrite(text, path, value);
    if (replaces) return rewritten;
    const inserted = insert(text, path, value);
    return inserted !== undefined && isSame(inserted, rewritten) ? inserted : rewritten;
  },
  print: (path, value) => stringify(nest(path, value), STYLE),
};

function read(text: string): Document.Parsed {
  const document = parseDocument(text);
  const [error] = document.errors;
  if (!error) return document;
  const at = error.linePos?.[0];
  const [problem = ''] = error.message.split(/ at line \d+|\n/);
  throw new BrokenTextError(problem, { line: at?.line ?? 1, column: at?.col ?? 1 });
}

function isSame(one: string, other: string): boolean {
  const document = parseDocument(one);
  return document.errors.length === 0 && isDeepStrictEqual(document.toJS(), parseDocument(other).toJS());
}

/** Puts the value in at the end of the map above it. Undefined if that map is not written in lines of its own. */
function insert(text: string, path: KeyPath, value: unknown): string | undefined {
  const end = lineEndOf(text);
  const key = path.at(-1) ?? '';
  const above = path.slice(0, -1);
  const map = read(text).getIn(above);
  if (map === undefined) {
    const ended = text === '' || text.endsWith('\n') ? text : text + end;
    return ended + stringify(nest(path, value), STYLE).replaceAll('\n', end);
  }
  if (!isMap(map) || map.flow) return undefined;
  const place = placeAfter(text, map);
  if (!place) return undefined;
  const lines = stringify({ [key]: value }, STYLE)
    .trimEnd()
    .split('\n');
  const block = lines.map((line) => ' '.repeat(place.indent) + line).join(end);
  return `${text.slice(0, place.offset)}${end}${block}${text.slice(place.offset)}`;
}

/** The end of the line on which a map ends, and the column of its keys. */
function placeAfter(text: string, map: YAMLMap): { offset: number; indent: number } | undefined {
  const first = map.items[0]?.key;
  const start = isScalar(first) ? first.range?.[0] : undefined;
  if (start === undefined || !map.range) return undefined;
  const written = text.slice(0, map.range[1]).trimEnd().length;
  const [rest = ''] = /^[^\r\n]*/.exec(text.slice(written)) ?? [];
  return { offset: written + rest.length, indent: start - (text.lastIndexOf('\n', start - 1) + 1) };
}

/** Sets the value in the document, and writes all of it: comments stay, blanks may change. */
function rewrite(text: string, path: KeyPath, value: unknown): string {
  const document: Document = read(text);
  const { contents } = document;
  if (isScalar(contents) && contents.value === null) {
    const map: Node = document.createNode({});
    if (contents.comment) map.commentBefore = contents.comment;
    document.contents = map;
  }
  for (let depth = 1; depth < path.length; depth += 1) {
    const keys = path.slice(0, depth);
    const found = document.getIn(keys);
    if (found === null || found === undefined) document.setIn(keys, document.createNode({}));
    else if (isMap(found) && found.items.length === 0) found.flow = false;
  }
  document.setIn(path, document.createNode(value));
  return document.toString(STYLE).replaceAll('\n', lineEndOf(text));
}
