import { escapeHtml } from '../index/html-links.ts';
import type { IndexFile, ProjectPage } from '../index/index-page.ts';

export const JSON_TYPE = 'application/vnd.pypi.simple.v1+json';
export const HTML_TYPE = 'application/vnd.pypi.simple.v1+html';
export type PageType = typeof JSON_TYPE | typeof HTML_TYPE | 'text/html';

/** Chooses the type that the client prefers (PEP 691). Undefined when it accepts none of ours. */
export function negotiatePageType(accept: string | undefined): PageType | undefined {
  if (!accept?.trim()) return 'text/html';
  let best: { type: PageType; quality: number } | undefined;
  for (const item of accept.toLowerCase().split(',').slice(0, 32)) {
    const [name = '', ...parameters] = item.split(';').map((part) => part.trim());
    const type = pageType(name);
    const given = parameters.find((parameter) => parameter.startsWith('q='));
    const quality = given === undefined ? 1 : Number(given.slice(2));
    if (type && quality > 0 && quality > (best?.quality ?? 0)) best = { type, quality };
  }
  return best?.type;
}

function pageType(name: string): PageType | undefined {
  switch (name) {
    case JSON_TYPE:
    case 'application/vnd.pypi.simple.latest+json':
      return JSON_TYPE;
    case HTML_TYPE:
    case 'application/vnd.pypi.simple.latest+html':
      return HTML_TYPE;
    case 'text/html':
    case 'text/*':
    case '*/*':
      return 'text/html';
    default:
      return undefined;
  }
}

/** Renders the page of a project, with all links rewritten to this gateway. */
export function renderPage(page: ProjectPage, type: PageType): string {
  return type === JSON_TYPE ? renderJson(page) : renderHtml(page);
}

/** Path of a file, relative to `/simple/<project>/`: the gateway does not know its port in the sandbox. */
function filePath(project: string, { id, filename }: IndexFile): string {
  return `../../files/${project}/${id}/${encodeURIComponent(filename)}`;
}

/** Value of the metadata attribute. Wheels whose index has no metadata files get them from the gateway. */
function metadataOf(file: IndexFile): string | undefined {
  if (file.coreMetadata?.sha256) return `sha256=${file.coreMetadata.sha256}`;
  return file.coreMetadata || file.kind === 'wheel' ? 'true' : undefined;
}

function renderJson({ project, files, status }: ProjectPage): string {
  // Since version 1.1 (PEP 700), every file must have a size. Version 1.4 adds the status (PEP 792).
  const complete = files.every(({ size }) => size !== undefined);
  return JSON.stringify({
    meta: { 'api-version': complete ? (status ? '1.4' : '1.1') : '1.0' },
    name: project,
    ...(status ? { 'project-status': status } : {}),
    versions: [...new Set(files.map(({ version }) => version))],
    files: files.map((file) => {
      const metadata = file.coreMetadata?.sha256 ? { sha256: file.coreMetadata.sha256 } : metadataOf(file) === 'true';
      return {
        filename: file.filename,
        url: filePath(project, file),
        hashes: file.hashes,
        ...(file.requiresPython ? { 'requires-python': file.requiresPython } : {}),
        ...(file.yanked ? { yanked: file.yanked } : {}),
        ...(file.size === undefined ? {} : { size: file.size }),
        ...(file.uploadTime ? { 'upload-time': file.uploadTime } : {}),
        ...(metadata ? { 'core-metadata': metadata, 'dist-info-metadata': metadata } : {}),
      };
    }),
  });
}

function renderHtml({ project, files, status }: ProjectPage): string {
  const title = `Links for ${escapeHtml(project)}`;
  const metas = Object.entries({
    'pypi:repository-version': status ? '1.4' : '1.0',
    ...(status ? { 'pypi:project-status': status.status } : {}),
    ...(status?.reason ? { 'pypi:project-status-reason': status.reason } : {}),
  }).map(([name, content]) => `<meta name="${name}" content="${escapeHtml(content)}">`);
  return [
    '<!DOCTYPE html>',
    `<html><head>${metas.join('')}<title>${title}</title></head><body>`,
    `<h1>${title}</h1>`,
    ...files.map((file) => renderLink(project, file)),
    '</body></html>\n',
  ].join('\n');
}

function renderLink(project: string, file: IndexFile): string {
  const [hash] = Object.entries(file.hashes);
  const metadata = metadataOf(file);
  const attributes = {
    href: `${filePath(project, file)}${hash ? `#${hash[0]}=${hash[1]}` : ''}`,
    'data-requires-python': file.requiresPython,
    'data-yanked': file.yanked === true ? '' : file.yanked,
    'data-upload-time': file.uploadTime,
    'data-dist-info-metadata': metadata,
    'data-core-metadata': metadata,
  };
  const written = Object.entries(attributes)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}="${escapeHtml(value ?? '')}"`);
  return `<a ${written.join(' ')}>${escapeHtml(file.filename)}</a><br/>`;
}
