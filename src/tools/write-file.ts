import { z } from 'zod';
import { SessionFiles } from '../files/session-files.ts';
import { filePathInput, identify, sessionIdInput, sessionLines, sessionOutput, tellReset } from './common-fields.ts';
import { leaseSession } from './lease-session.ts';
import type { Tool, ToolContext } from './tool.ts';

export interface WriteFileLimits {
  /** Most bytes of a file in one call. */
  readonly codeLimit: number;
}

function inputSchema({ codeLimit }: WriteFileLimits) {
  return z
    .strictObject({
      path: filePathInput,
      content: z.string().describe('What the file is to hold.'),
      encoding: z.enum(['text', 'base64']).optional().describe('How content is written: "text" (UTF-8) by default.'),
      session_id: sessionIdInput,
    })
    .superRefine(({ content, encoding }, context) => {
      const problem = contentProblem(content, encoding, codeLimit);
      if (problem) context.addIssue({ code: 'custom', path: ['content'], message: problem });
    });
}

function contentProblem(content: string, encoding: 'text' | 'base64' | undefined, limit: number): string | undefined {
  const tooLarge = `it has more than ${limit} bytes; have code write it, or send it over REST: PUT /sessions/{id}/files/{path}`;
  // Before it is worked on: base64 with its line ends has half as many characters again as bytes.
  if (content.length > 2 * limit) return tooLarge;
  if (encoding === 'base64') {
    const plain = content.replace(/\s/g, '');
    if (!/^[A-Za-z0-9+/]*={0,2}$/.test(plain) || plain.length % 4 !== 0) return 'it is not base64 with its padding';
  } else if (!content.isWellFormed()) return 'it holds a lone surrogate, which UTF-8 cannot carry; send it as base64';
  if (decode(content, encoding).length <= limit) return undefined;
  return tooLarge;
}

const outputSchema = z.object({
  ...sessionOutput,
  path: z.string(),
  size: z.number().int().describe('Bytes.'),
});

type Input = z.infer<ReturnType<typeof inputSchema>>;
type Output = z.infer<typeof outputSchema>;

export function createWriteFile(limits: WriteFileLimits): Tool<Input, Output> {
  return {
    name: 'write_file',
    title: 'Write a file',
    description:
      'Put a file into the session for code to use; an existing one is replaced, missing folders are made. For text and small binary (base64).',
    effect: 'changes',
    input: inputSchema(limits),
    output: outputSchema,
    handle: writeFile,
    summarize: ({ path, size, ...session }) => `[written] ${path} (${size} bytes)\n${sessionLines(session)}`,
  };
}

async function writeFile({ path, content, encoding, session_id }: Input, context: ToolContext): Promise<Output> {
  using lease = await leaseSession(context, session_id);
  const files = new SessionFiles(lease.session, context.signal);
  const { size, end } = await files.write(path, decode(content, encoding));
  return { ...identify(lease), path, size, ...tellReset(end) };
}

function decode(content: string, encoding: 'text' | 'base64' | undefined): Buffer {
  return Buffer.from(content, encoding === 'base64' ? 'base64' : 'utf8');
}
