import { type JsonObject, type ToolAnswer, ToolFailure, type ToolPart } from '../types.ts';
import type { CallResult, ReadResult } from '../upstream/connection.ts';
import { cleanLine, cleanText } from './clean-text.ts';
import { faultOf, isWrapper } from './output-schema.ts';

/** Characters of the message of a failed call. */
const MESSAGE_LIMIT = 2000;
/** How the SDKs of servers begin to say that arguments do not fit their schema. */
const REFUSED_ARGUMENTS = /^(MCP error -32602|Input validation error|Invalid arguments)\b/;
const NAME_LIMIT = 255;
const MIME_LIMIT = 127;
type Content = CallResult['content'][number];
type Contents = ReadResult['contents'][number];

/**
 * Makes parts of what a tool answered: the structure if there is one, with files and links beside it, or else all that
 * it said.
 * @throws ToolFailure `upstream` when the tool failed, or its structure is not what its schema says
 */
export function partsOfResult(server: string, result: CallResult, outputSchema: JsonObject | undefined): ToolPart[] {
  const { content = [], structuredContent, isError } = result;
  if (isError) throw toolFailed(server, content);
  const others = content.flatMap(toParts);
  if (structuredContent === undefined) return others;
  const fault = outputSchema && faultOf(structuredContent, outputSchema);
  if (fault) {
    const hint = 'The tool does not keep its own promise. Its operator can say why.';
    throw new ToolFailure(
      'upstream',
      `${server} answered something else than the schema of its tool says: ${fault}.`,
      hint,
    );
  }
  const value =
    outputSchema && isWrapper(structuredContent, outputSchema) ? structuredContent['result'] : structuredContent;
  // Texts say the same again, for models.
  return [{ type: 'json', value }, ...others.filter(({ type }) => type === 'file' || type === 'link')];
}

/** Makes parts of the contents of a resource. */
export function partsOfResource({ contents }: ReadResult): ToolPart[] {
  return contents.map(toFileOrText);
}

/** Size of parts as JSON, in bytes. @throws ToolFailure `limit` when it is more than allowed */
export function measure(server: string, parts: readonly ToolPart[], mostBytes: number): ToolAnswer {
  const bytes = Buffer.byteLength(JSON.stringify(parts));
  if (bytes <= mostBytes) return { parts, bytes };
  const hint = 'Ask for less at once: a page, a filter, fewer fields. The operator sets max_result_bytes.';
  throw new ToolFailure('limit', `The answer of ${server} has ${bytes} bytes, of ${mostBytes} that it may have.`, hint);
}

function toolFailed(server: string, content: readonly Content[]): ToolFailure {
  const said = content.map((block) => (block.type === 'text' ? block.text : '')).join('\n');
  const message = cleanText(said, MESSAGE_LIMIT) || 'it does not say why';
  if (REFUSED_ARGUMENTS.test(message)) {
    const hint = 'Correct them: help(tool) has the schema.';
    return new ToolFailure('bad_arguments', `${server} refuses the arguments: ${message}`, hint);
  }
  return new ToolFailure(
    'upstream',
    `${server} failed: ${message}`,
    'Correct the call by what it says, or try again later.',
  );
}

function toParts(block: Content): ToolPart[] {
  switch (block.type) {
    case 'text':
      return [textOrJson(block.text)];
    case 'image':
    case 'audio':
      return [{ type: 'file', mime: mimeOf(block.mimeType), data: block.data }];
    case 'resource':
      return [toFileOrText(block.resource)];
    case 'resource_link': {
      const { uri, name, mimeType } = block;
      return [{ type: 'link', uri, ...nameOf(name), ...(mimeType === undefined ? {} : { mime: mimeOf(mimeType) }) }];
    }
  }
}

/** A resource that came with its contents. */
function toFileOrText(resource: Contents): ToolPart {
  const mime = mimeOf(resource.mimeType ?? ('text' in resource ? 'text/plain' : undefined));
  const data = 'text' in resource ? Buffer.from(resource.text, 'utf8').toString('base64') : resource.blob;
  return { type: 'file', ...nameOf(lastOf(resource.uri)), mime, data };
}

/** JSON is meant for programs: most servers that have no structure send it as text. */
function textOrJson(text: string): ToolPart {
  const trimmed = text.trim();
  if (!/^[[{]/.test(trimmed)) return { type: 'text', text };
  try {
    return { type: 'json', value: JSON.parse(trimmed) };
  } catch {
    return { type: 'text', text };
  }
}

function nameOf(name: string): { name?: string } {
  const clean = cleanLine(name, NAME_LIMIT).replace(/[/\\]/g, '_');
  return clean === '' || clean === '.' || clean === '..' ? {} : { name: clean };
}

function mimeOf(type = 'application/octet-stream'): string {
  return cleanLine(type, MIME_LIMIT) || 'application/octet-stream';
}

function lastOf(uri: string): string {
  const last = uri.split(/[?#]/)[0]?.split('/').findLast(Boolean) ?? '';
  try {
    return decodeURIComponent(last);
  } catch {
    return last;
  }
}
