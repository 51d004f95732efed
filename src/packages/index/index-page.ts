import { createHash } from 'node:crypto';
import { z } from 'zod';
import { parseFilename } from '../pep/names.ts';
import { Problem } from '../upstream/problem.ts';
import { type HtmlLink, readHtmlLinks } from './html-links.ts';
import { type ProjectStatus, readProjectStatus } from './project-status.ts';

/** A file that an index offers. */
export interface IndexFile {
  readonly filename: string;
  /** URL of the file; never shown to a sandbox. */
  readonly url: string;
  /** Identifier in the gateway's own paths: the sha256, or `u` and a hash of the URL and the other hashes. */
  readonly id: string;
  readonly hashes: Readonly<Partial<Record<HashName, string>>>;
  readonly kind: 'wheel' | 'sdist';
  readonly version: string;
  readonly requiresPython?: string;
  /** Whether the file was yanked: true, or the reason (PEP 592). */
  readonly yanked?: string | true;
  /** Size in bytes. */
  readonly size?: number;
  readonly uploadTime?: string;
  /** Set when the index has a metadata file for it (PEP 658, 714), with its sha256 if the index gives one. */
  readonly coreMetadata?: { readonly sha256?: string };
}

/** Whether a value from a cached page is a file. */
export function isIndexFile(value: unknown): value is IndexFile {
  const { filename, url, id, hashes: known } = (value ?? {}) as Partial<IndexFile>;
  return [filename, url, id].every((part) => typeof part === 'string') && typeof known === 'object' && known !== null;
}

/** Files that one index has of one project. */
export interface ProjectPage {
  readonly project: string;
  readonly files: readonly IndexFile[];
  readonly status?: ProjectStatus;
}

/** Hashes that a file is checked with, and their length in hex digits. md5 and sha1 are not secure. */
const HASH_LENGTHS = { sha256: 64, sha384: 96, sha512: 128 } as const;
export type HashName = keyof typeof HASH_LENGTHS;

/** Accept header of requests to an index (PEP 691). */
export const ACCEPT_PAGE =
  'application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1';

const text = z.string().max(4096);
const hashes = z.record(z.string(), z.unknown());
const metadata = z.union([z.boolean(), hashes]).nullish().catch(undefined);
/** Schema of a file of a page, as tolerant as pip: a key may be null, and unreadable notices are left out. */
const jsonFile = z.object({
  filename: text.nullish(),
  url: text,
  hashes: hashes.nullish(),
  'requires-python': text.nullish(),
  yanked: z.unknown().optional(),
  size: z.number().int().nonnegative().nullish().catch(undefined),
  'upload-time': text.nullish().catch(undefined),
  'core-metadata': metadata,
  'dist-info-metadata': metadata,
});
const jsonStatus = z.object({ status: z.unknown(), reason: z.unknown() }).partial().nullish().catch(undefined);
const jsonPage = z.object({ files: z.array(z.unknown()).default([]), 'project-status': jsonStatus });

/**
 * Reads the answer of an index, in JSON (PEP 691) or HTML (PEP 503). Files that do not belong to the project, or that
 * no installer can use, are left out.
 * @throws Problem 422 when it is not an index page
 */
export function parseProjectPage(project: string, body: string, contentType: string, pageUrl: string): ProjectPage {
  const type = contentType.split(';')[0]?.trim().toLowerCase() ?? '';
  if (type === 'application/json' || type.endsWith('+json')) return fromJson(project, body, pageUrl);
  if (type === '' || type === 'text/html' || type.endsWith('+html') || type === 'application/xhtml+xml') {
    return fromHtml(project, body, pageUrl);
  }
  throw notAnIndexPage(project, `content type ${type.slice(0, 100)}`);
}

function fromJson(project: string, body: string, pageUrl: string): ProjectPage {
  let parsed: unknown;
  try {
    parsed = JSON.parse(body);
  } catch (cause) {
    throw notAnIndexPage(project, cause);
  }
  const page = jsonPage.safeParse(parsed);
  if (!page.success) throw notAnIndexPage(project, page.error);
  const { files, 'project-status': marked } = page.data;
  const status = readProjectStatus(marked?.status, marked?.reason);
  return {
    project,
    files: files.flatMap((entry) => fromEntry(project, pageUrl, entry)),
    ...(status ? { status } : {}),
  };
}

function fromEntry(project: string, pageUrl: string, entry: unknown): IndexFile[] {
  const file = jsonFile.safeParse(entry);
  if (!file.success) return [];
  const { data } = file;
  const url = URL.parse(data.url, pageUrl);
  return assemble(project, {
    filename: data.filename ?? lastSegment(url),
    url,
    hashes: data.hashes ?? {},
    requiresPython: data['requires-python'] ?? undefined,
    yanked: readYanked(data.yanked),
    size: data.size ?? undefined,
    uploadTime: data['upload-time'] ?? undefined,
    // The first name of the key was implemented wrongly almost everywhere, so it got a new one (PEP 714).
    metadata: data['core-metadata'] ?? data['dist-info-metadata'] ?? undefined,
  });
}

/** Reads the `yanked` field. An empty reason counts as true, as in HTML. */
function readYanked(value: unknown): string | true | undefined {
  if (typeof value === 'string') return value.slice(0, 4096) || true;
  return value ? true : undefined;
}

function fromHtml(project: string, body: string, pageUrl: string): ProjectPage {
  const { links, metas, base, isHtml } = readHtmlLinks(body);
  if (!isHtml) throw notAnIndexPage(project, 'not HTML');
  const baseUrl = base === undefined ? pageUrl : (URL.parse(base, pageUrl)?.href ?? pageUrl);
  const status = readProjectStatus(metas.get('pypi:project-status'), metas.get('pypi:project-status-reason'));
  return {
    project,
    files: links.flatMap((link) => fromLink(project, baseUrl, link)),
    ...(status ? { status } : {}),
  };
}

function fromLink(project: string, baseUrl: string, { href, attributes }: HtmlLink): IndexFile[] {
  const url = URL.parse(href, baseUrl);
  if (!url) return [];
  const fragment = /^#(sha\d{3})=([0-9a-f]+)$/i.exec(url.hash);
  const yanked = attributes['data-yanked'];
  const metadataText = attributes['data-core-metadata'] ?? attributes['data-dist-info-metadata'];
  const metadataHash = /^(sha256)=([0-9a-f]{64})$/i.exec(metadataText ?? '');
  return assemble(project, {
    filename: lastSegment(url),
    url,
    hashes: fragment?.[1] && fragment[2] ? { [fragment[1]]: fragment[2] } : {},
    requiresPython: attributes['data-requires-python'],
    yanked: yanked === '' ? true : yanked,
    size: undefined,
    uploadTime: attributes['data-upload-time'],
    metadata: metadataHash?.[2] ? { sha256: metadataHash[2] } : metadataText === 'true',
  });
}

interface RawFile {
  filename: string;
  url: URL | null;
  hashes: Record<string, unknown>;
  requiresPython: string | undefined;
  yanked: string | true | undefined;
  size: number | undefined;
  uploadTime: string | undefined;
  metadata: boolean | Record<string, unknown> | undefined;
}

function assemble(project: string, raw: RawFile): IndexFile[] {
  const distribution = parseFilename(raw.filename, project);
  const { url } = raw;
  if (!distribution || !url) return [];
  url.hash = '';
  // Passwords are taken from the configuration only, never from pages.
  url.username = url.password = '';
  const known = strongHashes(raw.hashes);
  const id =
    known.sha256 ??
    `u${createHash('sha256')
      .update(JSON.stringify([url.href, known]))
      .digest('hex')}`;
  const metadataHash = typeof raw.metadata === 'object' ? strongHashes(raw.metadata).sha256 : undefined;
  return [
    {
      filename: raw.filename,
      url: url.href,
      id,
      hashes: known,
      ...distribution,
      ...(raw.requiresPython ? { requiresPython: raw.requiresPython } : {}),
      ...(raw.yanked ? { yanked: raw.yanked } : {}),
      ...(raw.size === undefined ? {} : { size: raw.size }),
      ...(raw.uploadTime ? { uploadTime: raw.uploadTime } : {}),
      ...(raw.metadata ? { coreMetadata: metadataHash ? { sha256: metadataHash } : {} } : {}),
    },
  ];
}

function strongHashes(given: Record<string, unknown>): IndexFile['hashes'] {
  const strong: Partial<Record<HashName, string>> = {};
  for (const [name, value] of Object.entries(given)) {
    const key = name.toLowerCase();
    if (typeof value !== 'string') continue;
    if (isHashName(key) && value.length === HASH_LENGTHS[key] && /^[0-9a-f]+$/i.test(value))
      strong[key] = value.toLowerCase();
  }
  return strong;
}

function isHashName(name: string): name is HashName {
  return Object.hasOwn(HASH_LENGTHS, name);
}

function lastSegment(url: URL | null): string {
  const segment = url?.pathname.slice(url.pathname.lastIndexOf('/') + 1) ?? '';
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

function notAnIndexPage(project: string, cause: unknown): Problem {
  return new Problem(422, `The answer of the package index for ${project} is not an index page.`, { cause });
}
