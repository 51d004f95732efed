import { GloveboxError } from '../errors.ts';
import { parseJson } from '../lib/json-input.ts';
import { nearest } from '../lib/nearest.ts';

/**
 * Parses a body that must be a JSON object with no other fields than `known`.
 * @throws GloveboxError `invalid_input` with the reason and the position
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

/** Characters of a text in which the position of an error is searched for. The search parses it about twenty times. */
const SEARCH_LIMIT = 65_536;

function whereItFails(text: string, cause: unknown): string {
  const message = cause instanceof Error ? cause.message : '';
  if (isUnfinished(message, text.length)) return `it ends too early, at position ${text.length}`;
  const position = positionIn(message);
  if (position !== undefined) return `${message.replace(/ in JSON at position.*$/s, '')} at position ${position}`;
  const token = JSON.stringify(/^Unexpected token '(.+?)'/su.exec(message)?.[1] ?? '');
  return text.length > SEARCH_LIMIT
    ? `unexpected ${token}`
    : `unexpected ${token} at position ${findErrorPosition(text)}`;
}

/** Finds an unexpected token, whose position V8 does not give: it ends the shortest prefix that cannot be completed. */
function findErrorPosition(text: string): number {
  let [valid, invalid] = [0, text.length];
  while (invalid - valid > 1) {
    const middle = (valid + invalid) >> 1;
    if (canContinue(text.slice(0, middle))) valid = middle;
    else invalid = middle;
  }
  return valid;
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
