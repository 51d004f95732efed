import { GloveboxError } from '../errors.ts';
import type { BodyType, Route } from './route.ts';

/** What is said of each type of a body. */
const TYPES: Readonly<Record<BodyType, { readonly pattern: RegExp; readonly how: string }>> = {
  json: {
    pattern: /^application\/(json|[\w.+-]+\+json)$/,
    how: 'Send JSON with the header "Content-Type: application/json".',
  },
  tar: {
    pattern: /^application\/(tar|x-tar|x-gtar|x-tgz|x-compressed-tar|x-gtar-compressed|gzip|x-gzip)$/,
    how: 'Send a tar, as it is or in gzip, with the header "Content-Type: application/x-tar".',
  },
  form: {
    pattern: /^multipart\/form-data$/,
    how: 'Send a form of files (multipart/form-data), as curl -F file=@data.csv does; PUT stores a body as it is.',
  },
  bytes: {
    pattern: /^(?!multipart\/)/,
    how: 'Send the bytes themselves, as curl -T data.csv does; a form goes to a folder by POST.',
  },
};

/** Bodies that are text, and are read before the route runs, and those that it takes as they come. */
export type Taken = 'text' | 'stream' | 'none';

/**
 * How a route takes the body of a request. A body without a type is read as the first that the route takes:
 * pages can make a browser send one across origins, but never without an `Origin`, which was checked before.
 * @throws GloveboxError `unsupported_media_type` for what the route does not take, before anything of it is read
 */
export function howTaken(request: Request, { method, takes = method === 'POST' ? ['json'] : [] }: Route): Taken {
  if (takes.length === 0) return 'none';
  const type = mediaType(request);
  const named = type === undefined ? undefined : takes.find((name) => TYPES[name].pattern.test(type));
  if (type !== undefined && named === undefined && !(takes[0] === 'json' && isEmpty(request))) {
    throw new GloveboxError('unsupported_media_type', `The body is sent as ${JSON.stringify(type.slice(0, 100))}.`, {
      hint: takes.map((name) => TYPES[name].how).join(' Or: '),
    });
  }
  const taken = named ?? takes[0];
  if (taken !== 'json') refuseEncoded(request);
  return taken === 'json' ? 'text' : 'stream';
}

/** Whether a body says that it is a tar; whether it is in gzip, it says by itself. */
export function isTar(request: Request): boolean {
  return TYPES.tar.pattern.test(mediaType(request) ?? '');
}

/** Whether a body does not say what it is. */
export function isUntyped(request: Request): boolean {
  return (mediaType(request) ?? 'application/octet-stream') === 'application/octet-stream';
}

/** The type of a body without its parameters. */
function mediaType(request: Request): string | undefined {
  return request.headers.get('content-type')?.split(';', 1)[0]?.trim().toLowerCase() || undefined;
}

/** @throws GloveboxError `unsupported_media_type` for a compressed body: a small one could become any size. */
export function refuseEncoded(request: Request): void {
  const encoding = request.headers.get('content-encoding')?.trim().toLowerCase() ?? 'identity';
  if (encoding === 'identity') return;
  throw new GloveboxError(
    'unsupported_media_type',
    `The body is encoded as ${JSON.stringify(encoding.slice(0, 64))}.`,
    {
      hint: 'Encodings are not taken: send it as it is, without the header Content-Encoding.',
    },
  );
}

/** Whether there is no body: clients name a type for none, too. */
function isEmpty(request: Request): boolean {
  const length = request.headers.get('content-length');
  return length === '0' || (length === null && request.headers.get('transfer-encoding') === null);
}
