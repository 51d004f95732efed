import type { Route } from '../route.ts';
import { describeHeaders, schemaRef } from './openapi-parts.ts';

type Schema = Readonly<Record<string, unknown>>;

/** How each kind of refusal is described; the components that the routes refer to. */
const FAILURES = {
  InvalidInput: [400, 'The request is wrong: an argument, a field, a parameter or a header.'],
  Unauthorized: [
    401,
    'A key is asked for, and none that is valid was shown.',
    { 'WWW-Authenticate': 'How to show it.' },
  ],
  Forbidden: [403, 'This host name or this origin may not call.'],
  NotFound: [404, 'There is no such session, file, execution, snapshot or tool.'],
  RequestTimeout: [408, 'The body stopped to come.'],
  Conflict: [409, 'The session is busy.'],
  PreconditionFailed: [412, 'A condition of the request does not hold, or the file is there already.'],
  TooLarge: [413, 'The body, or what is asked for, is too large.'],
  UnsupportedType: [415, 'The body is of a type or an encoding that is not taken.'],
  RangeNotSatisfiable: [416, 'Nothing of the file is in the range.', { 'Content-Range': 'Its size, as `bytes */10`.' }],
  TooMany: [429, 'A limit is reached.', { 'Retry-After': 'Seconds after which to try again, where that is known.' }],
  Failure: ['default', 'Any other failure.'],
} as const satisfies Readonly<Record<string, readonly [number | string, string, Readonly<Record<string, string>>?]>>;

type FailureName = keyof typeof FAILURES;

export const failureResponses: Readonly<Record<string, Schema>> = Object.fromEntries(
  Object.entries(FAILURES).map(([name, [_status, description, headers = {}]]) => [
    name,
    {
      description,
      ...(Object.keys(headers).length === 0 ? {} : { headers: describeHeaders(headers) }),
      content: { 'application/json': { schema: schemaRef('Error') } },
    },
  ]),
);

/** The refusals that a route may give, by status. */
export function failuresOf({ method, path, takes }: Route): Record<string, Schema> {
  const hasBody = method === 'POST' || takes !== undefined;
  const isFile = path.endsWith('/*');
  const named: FailureName[] = [
    'InvalidInput',
    'Unauthorized',
    'Forbidden',
    ...(path.includes(':') || hasBody ? (['NotFound', 'Conflict'] as const) : []),
    ...(hasBody ? (['RequestTimeout', 'UnsupportedType'] as const) : []),
    ...(isFile ? (['PreconditionFailed'] as const) : []),
    ...(hasBody || isFile ? (['TooLarge'] as const) : []),
    ...(isFile && method === 'GET' ? (['RangeNotSatisfiable'] as const) : []),
    'TooMany',
    'Failure',
  ];
  return Object.fromEntries(named.map((name) => [FAILURES[name][0], { $ref: `#/components/responses/${name}` }]));
}
