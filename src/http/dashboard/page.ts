import { randomBytes } from 'node:crypto';
import { prefers } from '../accept.ts';
import type { PageFile, PageFiles } from './page-files.ts';

/** Answers requests for the page and its files, and no others. */
export type Page = (request: Request, path: string) => Response | undefined;

/** What `dashboard/vite.config.ts` writes where the nonce belongs. */
const NONCE_PLACEHOLDER = '__NONCE__';
const ASSETS = '/page/';
/** Document that shows HTML and SVG of results. */
const FRAME = 'frame.html';
/** A name with a hash of what the file contains. */
const HASHED = /-[\w-]{8}\.\w+$/;

const COMMON_HEADERS = {
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Referrer-Policy': 'no-referrer',
  'X-Content-Type-Options': 'nosniff',
};

/** The page talks to this server alone, and runs only its own scripts. */
const policyOf = (nonce: string) =>
  [
    "default-src 'none'",
    "script-src 'self'",
    // The editor makes its styles when it starts.
    `style-src 'self' 'nonce-${nonce}'`,
    "img-src 'self' data: blob:",
    "connect-src 'self'",
    "frame-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join('; ');

/** HTML of a result: of an origin of its own, without the network, and only within the page. */
const FRAME_POLICY = [
  'sandbox allow-scripts',
  "default-src 'none'",
  "script-src 'unsafe-inline'",
  "style-src 'unsafe-inline'",
  'img-src data: blob:',
  'media-src data: blob:',
  'font-src data:',
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'self'",
].join('; ');

/**
 * Makes the page. It needs no key, for it contains nothing of an owner: it asks for the key itself.
 * @param read reads the files, at the first request for one; undefined if the page has not been built
 */
export function createPage(read: () => PageFiles | undefined): Page {
  let files: PageFiles | undefined;
  return (request, path) => {
    if (request.method !== 'GET' && request.method !== 'HEAD') return undefined;
    const isDocument = path === '/' && prefers(request.headers.get('accept') ?? '') === 'text/html';
    if (!isDocument && !path.startsWith(ASSETS)) return undefined;
    files ??= read();
    if (!files) return undefined;
    if (isDocument) return documentAnswer(files.document);
    const name = path.slice(ASSETS.length);
    const file = files.assets.get(name);
    return file && fileAnswer(file, request, name);
  };
}

function documentAnswer(document: string): Response {
  const nonce = randomBytes(16).toString('base64');
  return new Response(document.replaceAll(NONCE_PLACEHOLDER, nonce), {
    headers: {
      ...COMMON_HEADERS,
      'Content-Type': 'text/html; charset=utf-8',
      'Content-Security-Policy': policyOf(nonce),
      'Cross-Origin-Opener-Policy': 'same-origin',
      'Cache-Control': 'no-store',
      Vary: 'Accept',
    },
  });
}

function fileAnswer({ content, packed, type }: PageFile, request: Request, name: string): Response {
  const isPacked = packed !== undefined && /\bgzip\b/.test(request.headers.get('accept-encoding') ?? '');
  return new Response(new Uint8Array(isPacked ? packed : content), {
    headers: {
      ...COMMON_HEADERS,
      'Content-Type': type,
      'Content-Security-Policy': name === FRAME ? FRAME_POLICY : "default-src 'none'",
      'Cache-Control': HASHED.test(name) ? 'public, max-age=31536000, immutable' : 'no-cache',
      ...(isPacked ? { 'Content-Encoding': 'gzip' } : {}),
      Vary: 'Accept-Encoding',
    },
  });
}
