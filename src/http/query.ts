import type { Context } from 'hono';
import { GloveboxError } from '../errors.ts';
import { nearest } from '../lib/nearest.ts';
import type { Env, Route } from './route.ts';

/** Characters of a parameter name in an error message. */
const LONGEST_NAME = 64;
/** Values of a switch that is on. */
const SET = ['1', 'true'];
/** Values of a switch that is off. */
const UNSET = ['0', 'false'];

/**
 * Refuses query parameters that a route does not know, or that occur twice.
 * @throws GloveboxError `invalid_input` with the most similar known name
 */
export function checkQuery(c: Context<Env>, route: Route): void {
  // Most requests have no query, and need no parsing.
  if (!c.req.url.includes('?')) return;
  const given = [...new URL(c.req.url).searchParams.keys()];
  const known = queryParameters(route);
  const unknown = given.find((name) => !known.includes(name));
  if (unknown !== undefined) throw unknownParameter(unknown, known);
  const twice = given.find((name, at) => given.indexOf(name) < at);
  if (twice === undefined) return;
  throw new GloveboxError('invalid_input', `The query parameter "${twice}" is there twice.`, { hint: 'Send it once.' });
}

/** Names of the query parameters of a route. */
function queryParameters({ operation }: Route): string[] {
  const parameters = (operation?.['parameters'] ?? []) as readonly { in: string; name: string }[];
  return parameters.flatMap(({ in: place, name }) => (place === 'query' ? [name] : []));
}

/** Whether a switch is on. A switch without a value is on. @throws GloveboxError `invalid_input` for any other value */
export function isSet(c: Context<Env>, name: string): boolean {
  const value = c.req.query(name);
  if (value === undefined) return false;
  if (value === '') return !new URL(c.req.url).search.includes(`${name}=`);
  if (SET.includes(value.toLowerCase())) return true;
  if (UNSET.includes(value.toLowerCase())) return false;
  throw new GloveboxError('invalid_input', `?${name}= must be 1 or 0, not ${JSON.stringify(value.slice(0, 64))}.`, {
    hint: `Use ?${name}=1, or leave it out.`,
  });
}

function unknownParameter(name: string, known: readonly string[]): GloveboxError {
  const meant = name.length <= LONGEST_NAME ? nearest(name, known) : undefined;
  const all = known.length > 0 ? `Query parameters here: ${known.join(', ')}.` : 'This route takes none.';
  return new GloveboxError(
    'invalid_input',
    `There is no query parameter ${JSON.stringify(name.slice(0, LONGEST_NAME))} here.`,
    { hint: meant ? `Did you mean "${meant}"? ${all}` : all },
  );
}
