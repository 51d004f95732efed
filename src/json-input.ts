import { GloveboxError } from './errors.ts';
import { repeatedField } from './json-fields.ts';

/** Values that one text may hold: far more than any call needs, and few enough to be read in a moment. */
const MOST_VALUES = 20_000;
/** How deep lists and objects may stand in each other. */
const DEEPEST = 64;

/**
 * What JSON from a caller says.
 * @throws GloveboxError `invalid_input` for what would take long to work on, before it is parsed,
 *   and for an object that has a field twice
 * @throws SyntaxError for what is no JSON
 */
export function parseJson(text: string): unknown {
  const fault = faultOf(text);
  if (fault)
    throw new GloveboxError('invalid_input', fault, {
      hint: 'Send large data as one text, or as a file of the session.',
    });
  const parsed: unknown = JSON.parse(text);
  const twice = repeatedField(text);
  if (twice === undefined) return parsed;
  throw new GloveboxError('invalid_input', `The field ${JSON.stringify(twice.slice(0, 64))} is there twice.`, {
    hint: 'Send it once.',
  });
}

/** Looks at nothing but brackets, commas and quotes: whether it is JSON is for the parser to say. */
function faultOf(text: string): string | undefined {
  let depth = 0;
  let values = 0;
  for (let at = 0; at < text.length; at += 1) {
    switch (text.charCodeAt(at)) {
      case 0x22: // "
        at = endOfString(text, at + 1);
        break;
      case 0x5b: // [
      case 0x7b: // {
        depth += 1;
        values += 1;
        if (depth > DEEPEST) return `The JSON is nested more than ${DEEPEST} levels deep.`;
        break;
      case 0x5d: // ]
      case 0x7d: // }
        depth -= 1;
        break;
      case 0x2c: // ,
        values += 1;
        break;
    }
    if (values > MOST_VALUES) return `The JSON holds more than ${MOST_VALUES} values.`;
  }
  return undefined;
}

function endOfString(text: string, start: number): number {
  for (let at = start; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code === 0x5c) at += 1;
    else if (code === 0x22) return at;
  }
  return text.length;
}
