import { GloveboxError } from '../errors.ts';
import type { BodyType, Route } from './route.ts';

/** Pattern of each body type, and the hint how to send it. */
const TYPES: Readonly<Record<BodyType, { readonly pattern: RegExp; readonly hint: string }>> = {
  json: {
    pattern: /^application\/(json|[\w.+-]+\+json)$/,
    hint: 'Send JSON with the header "Content-Type: application/json".',
  },
  tar: {
    pattern: /^application\/(tar|x-tar|x-gtar|x-tgz|x-compressed-tar|x-gtar-compressed|gzip|x-gzip)$/,
    hint: 'Send a tar, uncompressed or in gzip, with the header "Content-Type: application/x-tar".',
  },
  form: {
    pattern: /^multipart\/form-data$/,
    hint: 'Send a form with files (multipart/form-data), as curl -F file=@data.csv does. To store the body itself as a file, use PUT.',
  },
  bytes: {
    pattern: /^(?!multipart\/)/,
    hint: 'Send the bytes of the file, as curl -T data.csv does. To send a form, POST it to a folder.',
  },
};

/** How a body is read: as text before the route runs, as a stream by the route, or not at all. */
export type BodyHandling = 'text' | 'stream' | 'none';

/**
 * Decides how the body of a request is read. A body without a type counts as the first type that the route takes. Web
 * pages can make a browser send such a body to another origin, but only with an `Origin`, which has been checked.
 * @throws GloveboxError `unsupported_media_type` for a type that the route does not take, before the body is read
 */
export function bodyHandlingFor(
  request: Request,
  { method, takes = method === 'POST' ? ['json'] : [] }: Route,
): BodyHandling {
  if (takes.length === 0) return 'none';
  const type = mediaType(request);
  const named = type === undefined ? undefined : takes.find((name) => TYPES[name].pattern.test(type));
  if (type !== undefined && named === undefined && !(takes[0] === 'json' && isEmpty(request))) {
    throw new GloveboxError(
      'unsupported_media_type',
      `This route does not accept a body of type ${JSON.stringify(type.slice(0, 100))}.`,
      {
        hint: takes.map((name) => TYPES[name].hint).join(' Or: '),
      },
    );
  }
  const bodyType = named ?? takes[0];
  if (bodyType !== 'json') refuseEncoded(request);
  return bodyType === 'json' ? 'text' : 'stream';
}

/** Whether a body has the type of a tar, in gzip or not. */
export function isTar(request: Request): boolean {
  return TYPES.tar.pattern.test(mediaType(request) ?? '');
}

/** Whether a body has no type, or the type of unknown bytes. */
export function isUntyped(request: Request): boolean {
  return (mediaType(request) ?? 'application/octet-stream') === 'application/octet-stream';
}

/** The media type of a body, without its parameters. */
function mediaType(request: Request): string | undefined {
  return request.headers.get('content-type')?.split(';', 1)[0]?.trim().toLowerCase() || undefined;
}

/** @throws GloveboxError `unsupported_media_type` for a compressed body: a small one could expand to any size */
export function refuseEncoded(request: Request): void {
  const encoding = request.headers.get('content-encoding')?.trim().toLowerCase() ?? 'identity';
  if (encoding === 'identity') return;
  throw new GloveboxError(
    'unsupported_media_type',
    `The body has the encoding ${JSON.stringify(encoding.slice(0, 64))}.`,
    {
      hint: 'Encodings are not supported. Send the body without the header Content-Encoding.',
    },
  );
}

/** Whether there is no body. Some clients send a type without one. */
function isEmpty(request: Request): boolean {
  const length = request.headers.get('content-length');
  return length === '0' || (length === null && request.headers.get('transfer-encoding') === null);
}
