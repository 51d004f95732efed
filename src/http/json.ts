import { GloveboxError } from '../errors.ts';
import { parseJson } from '../json-input.ts';
import { nearest } from '../nearest.ts';

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
  const twice = repeatedField(text);
  if (twice)
    throw new GloveboxError('invalid_input', `The field "${twice}" is there twice.`, { hint: 'Send it once.' });
  return parsed as Record<string, unknown>;
}

/**
 * Refuses what says that it is not JSON, a form for one. A body without a type is read as JSON:
 * pages can make a browser send one across origins, but never without an `Origin`, which was checked before.
 */
export function requireJson(request: Request): void {
  const type = request.headers.get('content-type');
  if (type === null || /^application\/(json|[\w.+-]+\+json)\s*(;|$)/i.test(type)) return;
  throw new GloveboxError('invalid_input', `The body is sent as ${JSON.stringify(type.slice(0, 100))}.`, {
    hint: 'Send JSON with the header "Content-Type: application/json".',
  });
}

function unknownField(name: string, known: readonly string[]): GloveboxError {
  const meant = name.length <= 64 ? nearest(name, known) : undefined;
  const fields = known.length > 0 ? `Fields: ${known.join(', ')}.` : 'Leave it out.';
  return new GloveboxError('invalid_input', `There is no field ${JSON.stringify(name.slice(0, 64))} here.`, {
    hint: meant ? `Did you mean "${meant}"? ${fields}` : fields,
  });
}

/** JSON.parse keeps the last of two fields in silence; which one a reader before us kept is anyone's guess. */
function repeatedField(text: string): string | undefined {
  const seen = new Set<string>();
  let depth = 0;
  for (let at = 0; at < text.length; at += 1) {
    const char = text[at];
    if (char === '{' || char === '[') depth += 1;
    else if (char === '}' || char === ']') depth -= 1;
    else if (char === '"') {
      const end = endOfString(text, at);
      if (depth === 1 && /^\s*:/.test(text.slice(end + 1, end + 100))) {
        const name = JSON.parse(text.slice(at, end + 1)) as string;
        if (seen.has(name)) return name;
        seen.add(name);
      }
      at = end;
    }
  }
  return undefined;
}

function endOfString(text: string, start: number): number {
  let end = text.indexOf('"', start + 1);
  for (;;) {
    let slashes = 0;
    while (text[end - 1 - slashes] === '\\') slashes += 1;
    if (slashes % 2 === 0) return end;
    end = text.indexOf('"', end + 1);
  }
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
