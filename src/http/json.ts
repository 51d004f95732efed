import { GloveboxError } from '../errors.ts';
import { parseJson } from '../lib/json-input.ts';
import { nearest } from '../lib/nearest.ts';

/**
 * The object that a JSON body holds, with no fields but `known` ones.
 * @throws GloveboxError `invalid_input` that says what is wrong and where.
 */
export function parseJsonObject(text: string, known: readonly string[], example: string): Record<string, unknown> {
  const hint = `Send a JSON object such as ${example}.`;
  if (text.trim() === '') throw new GloveboxError('invalid_input', 'The request has no body.', { hint });
  let parsed: unknown;
  try {
    parsed = parseJson(text);
  } catch (cause) {
    if (cause instanceof GloveboxError) throw cause;
    throw new GloveboxError('invalid_input', `The body is not valid JSON: ${whereItFails(text, cause)}.`, {
      hint,
      cause,
    });
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    const kind = parsed === null ? 'null' : Array.isArray(parsed) ? 'an array' : `a ${typeof parsed}`;
    throw new GloveboxError('invalid_input', `The body is ${kind}, not an object.`, { hint });
  }
  for (const name of Object.keys(parsed)) {
    if (!known.includes(name)) throw unknownField(name, known);
  }
  return parsed as Record<string, unknown>;
}

function unknownField(name: string, known: readonly string[]): GloveboxError {
  const meant = name.length <= 64 ? nearest(name, known) : undefined;
  const fields = known.length > 0 ? `Fields: ${known.join(', ')}.` : 'Leave it out.';
  return new GloveboxError('invalid_input', `There is no field ${JSON.stringify(name.slice(0, 64))} here.`, {
    hint: meant ? `Did you mean "${meant}"? ${fields}` : fields,
  });
}

/** Longest text whose fault is searched for: the search parses it some twenty times. */
const SEARCH_LIMIT = 65_536;

function whereItFails(text: string, cause: unknown): string {
  const message = cause instanceof Error ? cause.message : '';
  if (isUnfinished(message, text.length)) return `it ends too early, at position ${text.length}`;
  const position = positionIn(message);
  if (position !== undefined) return `${message.replace(/ in JSON at position.*$/s, '')} at position ${position}`;
  const token = JSON.stringify(/^Unexpected token '(.+?)'/su.exec(message)?.[1] ?? '');
  return text.length > SEARCH_LIMIT ? `unexpected ${token}` : `unexpected ${token} at position ${findFault(text)}`;
}

/** V8 does not say where an unexpected token is: the shortest beginning that no text could complete ends with it. */
function findFault(text: string): number {
  let [fine, faulty] = [0, text.length];
  while (faulty - fine > 1) {
    const middle = (fine + faulty) >> 1;
    if (canContinue(text.slice(0, middle))) fine = middle;
    else faulty = middle;
  }
  return fine;
}

function canContinue(beginning: string): boolean {
  try {
    JSON.parse(beginning);
    return true;
  } catch (cause) {
    return cause instanceof Error && isUnfinished(cause.message, beginning.length);
  }
}

function isUnfinished(message: string, length: number): boolean {
  return /end of JSON|^Unterminated/.test(message) || positionIn(message) === length;
}

function positionIn(message: string): number | undefined {
  const position = / at position (\d+)/.exec(message)?.[1];
  return position === undefined ? undefined : Number(position);
}
