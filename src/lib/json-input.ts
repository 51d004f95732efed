import { GloveboxError } from '../errors.ts';

/** Values that one text may have: far more than any call needs, and few enough to be parsed quickly. */
const MOST_VALUES = 20_000;
/** Levels of nested arrays and objects at most. */
const DEEPEST = 64;

/**
 * Parses JSON from a caller.
 * @throws GloveboxError `invalid_input` for a text with too many values or levels, before it is parsed, and for an
 *   object that has a field twice
 * @throws SyntaxError for a text that is not JSON
 */
export function parseJson(text: string): unknown {
  const { fault, twice } = scan(text);
  if (fault)
    throw new GloveboxError('invalid_input', fault, {
      hint: 'Send large data as one text, or as a file of the session.',
    });
  const parsed: unknown = JSON.parse(text);
  if (twice === undefined) return parsed;
  // JSON.parse would silently keep the last value, while another program on the way may have used the first.
  throw new GloveboxError('invalid_input', `The field ${JSON.stringify(nameOf(twice).slice(0, 64))} is there twice.`, {
    hint: 'Send it once.',
  });
}

interface Scan {
  /** Reason why the text must not be parsed. */
  readonly fault?: string;
  /** Name of a field that an object has twice, in quotes. */
  readonly twice?: string;
}

/** Counts values and levels, and finds duplicate fields. Whether the text is valid JSON is left to the parser. */
function scan(text: string): Scan {
  /** Field names of each open object; undefined for an array. */
  const open: (Set<string> | undefined)[] = [];
  let values = 0;
  let twice: string | undefined;
  for (let at = 0; at < text.length; at += 1) {
    switch (text.charCodeAt(at)) {
      case QUOTE: {
        const end = endOfString(text, at + 1);
        const fields = open.at(-1);
        if (fields && isName(text, end)) twice ??= addName(fields, text.slice(at, end + 1));
        at = end;
        break;
      }
      case 0x5b: // [
      case 0x7b: // {
        values += 1;
        if (open.push(text[at] === '{' ? new Set() : undefined) > DEEPEST)
          return { fault: `The JSON is nested more than ${DEEPEST} levels deep.` };
        break;
      case 0x5d: // ]
      case 0x7d: // }
        open.pop();
        break;
      case 0x2c: // ,
        values += 1;
        break;
    }
    if (values > MOST_VALUES) return { fault: `The JSON holds more than ${MOST_VALUES} values.` };
  }
  return twice === undefined ? {} : { twice };
}

/** Adds a name to the fields of an object. Returns it, in its quotes, if the object already has it. */
function addName(fields: Set<string>, quoted: string): string | undefined {
  const name = nameOf(quoted);
  if (fields.has(name)) return quoted;
  fields.add(name);
  return undefined;
}

/** The name without quotes and escapes; any text if it is not JSON. */
function nameOf(quoted: string): string {
  if (!quoted.includes('\\')) return quoted.slice(1, -1);
  try {
    return String(JSON.parse(quoted));
  } catch {
    return quoted;
  }
}

function isName(text: string, end: number): boolean {
  let at = end + 1;
  while (at < text.length && ' \t\r\n'.includes(text.charAt(at))) at += 1;
  return text[at] === ':';
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

function endOfString(text: string, start: number): number {
  for (let at = start; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code === BACKSLASH) at += 1;
    else if (code === QUOTE) return at;
  }
  return text.length;
}
