import type { Route } from '../route.ts';
import { describeHeaders, schemaRef } from './openapi-parts.ts';

type Schema = Readonly<Record<string, unknown>>;

/** Descriptions of the error responses, as components that the routes refer to. */
const FAILURES = {
  InvalidInput: [400, 'An argument, a field, a parameter or a header is invalid.'],
  Unauthorized: [401, 'The server requires a valid key.', { 'WWW-Authenticate': 'How to send the key.' }],
  Forbidden: [403, 'This host name or this origin is not allowed.'],
  NotFound: [404, 'The session, file, execution, snapshot or tool does not exist.'],
  RequestTimeout: [408, 'The body stopped arriving.'],
  Conflict: [409, 'The session is busy.'],
  PreconditionFailed: [412, 'A condition of the request is not met, or the file exists already.'],
  TooLarge: [413, 'The body or the result is too large.'],
  UnsupportedType: [415, 'The type or the encoding of the body is not supported.'],
  RangeNotSatisfiable: [
    416,
    'The range has no byte of the file.',
    { 'Content-Range': 'The size of the file, as `bytes */10`.' },
  ],
  TooMany: [429, 'A limit is reached.', { 'Retry-After': 'Seconds to wait before trying again, if known.' }],
  Failure: ['default', 'Any other error.'],
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

/** The error responses of a route, by status. */
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
