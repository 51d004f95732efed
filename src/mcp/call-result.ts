import type { CallToolResult } from '@modelcontextprotocol/server';
import { z } from 'zod';
import type { GloveboxError } from '../errors.ts';

/** Key of the `_meta` field of an image with the path of its original file in /workspace. */
const FILE_META_KEY = 'glovebox/file';

/** Key of the `_meta` field with `{code, message, hint}` of a failed call. `structuredContent` has a fixed schema. */
const ERROR_META_KEY = 'glovebox/error';

type Content = CallToolResult['content'];

/** Most characters of base64 of all images in an answer. */
const IMAGE_BUDGET = 4 * 1024 * 1024;
/** The same limit for clients whose stream ends at an answer beyond 1 MiB: mcp 2.3 for Python, and fastmcp 4.2. */
const SMALL_IMAGE_BUDGET = 768 * 1024;
/** Oldest protocol version for which the smaller budget is used. */
const SMALL_SINCE = '2026-07-28';
/** Characters of one format of a result in the structured output, which clients show to the model. */
const LONGEST_FORMAT = 20_000;
/** Links to files in an answer. */
const MAX_LINKS = 20;
/** Oldest protocol version with links to files. Clients of older versions refuse an answer with a link. */
const LINKS_SINCE = '2025-06-18';

const resultSchema = z.looseObject({
  png: z.string().optional(),
  jpeg: z.string().optional(),
  original: z.looseObject({ path: z.string() }).optional(),
});
type Result = z.infer<typeof resultSchema>;

/** Parts of a tool's output that become separate content. */
const outputSchema = z.object({
  session_id: z.string(),
  results: z.array(resultSchema).optional(),
  files: z.array(z.object({ path: z.string() })).optional(),
});

/**
 * Makes an answer from a tool's output: its summary, its images, and links to its files. The structured output only
 * names the images in `attached`, because clients show it to the model as text.
 */
export function toAnswer(
  output: Record<string, unknown>,
  summary: string,
  protocolVersion = LINKS_SINCE,
): { content: Content; structuredContent: Record<string, unknown> } {
  const parsed = outputSchema.safeParse(output);
  if (!parsed.success) return { content: [{ type: 'text', text: summary }], structuredContent: output };
  const { session_id, results = [], files = [] } = parsed.data;
  const { images, shown, note } = attachImages(
    results,
    protocolVersion >= SMALL_SINCE ? SMALL_IMAGE_BUDGET : IMAGE_BUDGET,
  );
  const linked = protocolVersion >= LINKS_SINCE ? files.slice(0, MAX_LINKS) : [];
  return {
    content: [
      { type: 'text', text: `${summary}${note}` },
      ...images,
      ...linked.map(({ path }) => toLink(session_id, path)),
    ],
    structuredContent: results.length > 0 ? { ...output, results: shown } : output,
  };
}

/** Makes a result, and not a protocol error, because models read results and correct themselves. */
export function toFailure(error: GloveboxError): CallToolResult {
  const body = error.toBody();
  return {
    isError: true,
    content: [{ type: 'text', text: `${body.message}\n${body.hint}` }],
    _meta: { [ERROR_META_KEY]: body },
  };
}

/** Chooses the images that fit the budget. Returns them, the results without images, and a note on omitted images. */
function attachImages(results: readonly Result[], budget: number) {
  const images: Content = [];
  const omitted: string[] = [];
  let remaining = budget;
  const shown = results.map(({ png, jpeg, ...rest }, index) => {
    const result = shorten(rest);
    const attached: string[] = [];
    for (const [format, data] of Object.entries({ png, jpeg })) {
      if (data === undefined) continue;
      if (data.length > remaining) {
        omitted.push(`${format} of result ${index + 1}`);
        continue;
      }
      remaining -= data.length;
      const file = rest.original && { _meta: { [FILE_META_KEY]: rest.original.path } };
      images.push({ type: 'image', data, mimeType: `image/${format}`, ...file });
      attached.push(format);
    }
    return attached.length > 0 ? { ...result, attached } : result;
  });
  const note =
    omitted.length > 0 ? `\n[images] too large to attach: ${omitted.join(', ')}; save them to files instead` : '';
  return { images, shown, note };
}

/** Shortens a result that is too long for a model: text is cut, and other long formats are left out and named. */
function shorten(result: Result): Result {
  const long = Object.entries(result).filter(([, value]) => (JSON.stringify(value)?.length ?? 0) > LONGEST_FORMAT);
  if (long.length === 0) return result;
  const formats = long.map(([format]) => format);
  const { text, truncated = [] } = z
    .object({ text: z.string(), truncated: z.array(z.string()) })
    .partial()
    .parse(result);
  const kept = Object.fromEntries(Object.entries(result).filter(([format]) => !formats.includes(format)));
  const cut =
    text !== undefined && formats.includes('text')
      ? {
          text: `${text.slice(0, LONGEST_FORMAT).toWellFormed()} … ${text.length - LONGEST_FORMAT} characters left out`,
        }
      : {};
  return { ...kept, ...cut, truncated: [...new Set([...truncated, ...formats])] };
}

function toLink(sessionId: string, path: string): Content[number] {
  const encoded = path.toWellFormed().split('/').map(encodeURIComponent).join('/');
  return {
    type: 'resource_link',
    uri: `glovebox://sessions/${encodeURIComponent(sessionId)}/files/${encoded}`,
    name: path,
    mimeType: mimeTypeOf(path),
  };
}

const MIME_TYPES: Readonly<Record<string, string>> = {
  csv: 'text/csv',
  css: 'text/css',
  docx: 'application/vnd.openxmlformats-officedocument.wordprocessingml.document',
  gz: 'application/gzip',
  html: 'text/html',
  ipynb: 'application/x-ipynb+json',
  js: 'text/javascript',
  json: 'application/json',
  log: 'text/plain',
  md: 'text/markdown',
  pdf: 'application/pdf',
  pptx: 'application/vnd.openxmlformats-officedocument.presentationml.presentation',
  py: 'text/x-python',
  tsv: 'text/tab-separated-values',
  txt: 'text/plain',
  xlsx: 'application/vnd.openxmlformats-officedocument.spreadsheetml.sheet',
  xml: 'application/xml',
  yaml: 'application/yaml',
  yml: 'application/yaml',
  zip: 'application/zip',
};

/** Media type by the extension, but never an image type: some clients would send the link to the model as an image. */
function mimeTypeOf(path: string): string {
  const extension = /\.(\w+)$/.exec(path)?.[1]?.toLowerCase() ?? '';
  return Object.hasOwn(MIME_TYPES, extension) ? (MIME_TYPES[extension] ?? '') : 'application/octet-stream';
}
