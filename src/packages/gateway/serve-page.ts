import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { ProjectPage } from '../index/index-page.ts';
import { Problem } from '../upstream/problem.ts';
import type { Policy } from './policy.ts';
import { negotiatePageType, type PageType, renderPage } from './render-page.ts';
import { type Reply, sendBody } from './reply.ts';

interface Rendered {
  readonly body: Buffer;
  readonly etag: string;
  readonly refusal: Problem | undefined;
}

/** Rendered pages. They are kept as long as the pages that they were made from. */
const rendered = new WeakMap<ProjectPage, Map<PageType, Rendered>>();

/**
 * Answers a request for `/simple/<project>/` with the files that the policy allows.
 * @returns the reason when the policy leaves the page without files; the installer itself only says that there are none
 * @throws Problem 403 when every version is denied, 406 when no type of page is acceptable
 */
export async function servePage(
  request: IncomingMessage,
  reply: Reply,
  { page, policy }: { page: ProjectPage; policy: Policy },
): Promise<Problem | undefined> {
  const type = negotiatePageType(request.headers.accept);
  if (!type) throw new Problem(406, 'This package index answers only in HTML (PEP 503) and JSON (PEP 691).');
  const { body, etag, refusal } = render(page, type, policy);
  const headers = {
    etag,
    'content-type': type === 'text/html' ? 'text/html; charset=utf-8' : type,
    vary: 'accept',
    // The policy may change with the next start of the server, so caches must revalidate.
    'cache-control': 'no-cache',
  };
  if (request.headers['if-none-match'] === etag) {
    reply.response.writeHead(304, headers);
    await sendBody(reply, []);
    return refusal;
  }
  reply.response.writeHead(200, { ...headers, 'content-length': body.length });
  await sendBody(reply, [body]);
  return refusal;
}

function render(page: ProjectPage, type: PageType, policy: Policy): Rendered {
  const known = rendered.get(page)?.get(type);
  if (known) return known;
  const refusal = policy.refusalOf(page);
  const files = refusal ? [] : page.files.filter(({ filename }) => policy.permits(page.project, filename));
  const body = Buffer.from(renderPage({ ...page, files }, type));
  const made = { body, etag: `"${createHash('sha256').update(body).digest('hex').slice(0, 32)}"`, refusal };
  rendered.set(page, (rendered.get(page) ?? new Map<PageType, Rendered>()).set(type, made));
  return made;
}
