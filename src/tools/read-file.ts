import { z } from 'zod';
import { GloveboxError } from '../errors.ts';
import { withoutPartialEnd, withoutPartialStart } from '../execution/output-capture.ts';
import { SessionFiles } from '../files/session-files.ts';
import { filePathInput, identify, sessionIdInput, sessionLines, sessionOutput, tellReset } from './common-fields.ts';
import { leaseSession } from './lease-session.ts';
import type { Tool, ToolContext } from './tool.ts';

const DEFAULT_LENGTH = 65_536;
const LARGEST_LENGTH = 1_048_576;
/** Most bytes of one UTF-8 character. A shorter range could hold none. */
const LONGEST_CHARACTER = 4;

const inputSchema = z.strictObject({
  path: filePathInput,
  session_id: sessionIdInput,
  encoding: z.enum(['text', 'base64']).optional().describe('"base64" for what is not UTF-8 text.'),
  offset: z.number().int().nonnegative().optional().describe('Byte to begin with.'),
  length: z
    .number()
    .int()
    .min(1)
    .max(LARGEST_LENGTH)
    .optional()
    .describe(`Most bytes to read; ${DEFAULT_LENGTH} by default.`),
});

const outputSchema = z.object({
  ...sessionOutput,
  path: z.string(),
  size: z.number().int().describe('Bytes of the whole file.'),
  offset: z.number().int().describe('Byte that content begins with.'),
  encoding: z.enum(['text', 'base64']),
  content: z.string(),
  next_offset: z.number().int().optional().describe('Where to go on reading; absent at the end of the file.'),
});

type Input = z.infer<typeof inputSchema>;
type Output = z.infer<typeof outputSchema>;

export const readFile: Tool<Input, Output> = {
  name: 'read_file',
  title: 'Read a file',
  description: `Read a file of the session, or a part of it (${DEFAULT_LENGTH / 1024} KiB by default; go on at next_offset). To work with large or binary data, use code instead.`,
  effect: 'reads',
  input: inputSchema,
  output: outputSchema,
  handle: readPart,
  summarize,
};

async function readPart(input: Input, context: ToolContext): Promise<Output> {
  const { path, session_id, encoding = 'text' } = input;
  using lease = await leaseSession(context, session_id);
  const length = Math.max(LONGEST_CHARACTER, input.length ?? DEFAULT_LENGTH);
  const files = new SessionFiles(lease.session, context.signal);
  const read = await files.read(path, { offset: input.offset ?? 0, length }, length);
  const isEnd = read.offset + read.length >= read.entry.size;
  const { skipped, whole: bytes } =
    encoding === 'text' ? wholeCharacters(read.content, read.offset > 0, isEnd) : { skipped: 0, whole: read.content };
  const next = read.offset + skipped + bytes.length;
  return {
    ...identify(lease),
    path,
    size: read.entry.size,
    offset: read.offset + skipped,
    encoding,
    content: encoding === 'text' ? decodeText(bytes, path) : bytes.toString('base64'),
    ...(next < read.entry.size ? { next_offset: next } : {}),
    ...tellReset(read.end),
  };
}

/** Removes incomplete characters at both ends of a range. Returns the text and the number of bytes removed at the start. */
function wholeCharacters(bytes: Buffer, isInside: boolean, isEnd: boolean): { skipped: number; whole: Buffer } {
  const fromStart = isInside ? withoutPartialStart(bytes) : bytes;
  return { skipped: bytes.length - fromStart.length, whole: isEnd ? fromStart : withoutPartialEnd(fromStart) };
}

function decodeText(bytes: Buffer, path: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new GloveboxError('invalid_input', `${JSON.stringify(path.slice(0, 200))} is not UTF-8 text.`, {
      hint: 'Call again with encoding "base64", or have execute_python look into it.',
      cause,
    });
  }
}

function summarize({ content, encoding, path, size, offset, next_offset, ...session }: Output): string {
  const more = next_offset === undefined ? '' : `; go on at offset ${next_offset}`;
  return [
    content,
    `[file] ${path} (${size} bytes), ${encoding} from byte ${offset}${more}`,
    sessionLines(session),
  ].join('\n');
}
