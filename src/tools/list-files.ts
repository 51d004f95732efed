import { z } from 'zod';
import { SessionFiles } from '../files/session-files.ts';
import { filePathInput, identify, sessionIdInput, sessionLines, sessionOutput, tellReset } from './common-fields.ts';
import { leaseSession } from './lease-session.ts';
import type { Tool, ToolContext } from './tool.ts';

/** Most entries in a result: a model gains nothing from more. */
const MOST_ENTRIES = 500;

const inputSchema = z.strictObject({
  path: filePathInput.optional().describe('Folder in /workspace; all of it by default.'),
  session_id: sessionIdInput,
});

const outputSchema = z.object({
  ...sessionOutput,
  files: z.array(
    z.object({
      path: z.string(),
      size: z.number().int(),
      type: z.enum(['file', 'directory', 'link', 'other']),
      modified: z.string().describe('ISO 8601.'),
    }),
  ),
  truncated: z.literal(true).optional().describe('There are more: list a folder in it.'),
});

type Input = z.infer<typeof inputSchema>;
type Output = z.infer<typeof outputSchema>;

export const listFiles: Tool<Input, Output> = {
  name: 'list_files',
  title: 'List files',
  description: 'List the files of the session, those in folders too, with their sizes.',
  effect: 'reads',
  input: inputSchema,
  output: outputSchema,
  handle: listAll,
  summarize,
};

async function listAll({ path = '.', session_id }: Input, context: ToolContext): Promise<Output> {
  using lease = await leaseSession(context, session_id);
  const files = new SessionFiles(lease.session, context.signal);
  const { entries, truncated, end } = await files.list(path, { recursive: true, limit: MOST_ENTRIES });
  return {
    ...identify(lease),
    files: entries.map(({ modified, ...entry }) => ({ ...entry, modified: modified.toISOString() })),
    ...(truncated ? { truncated } : {}),
    ...tellReset(end),
  };
}

function summarize({ files, truncated, ...session }: Output): string {
  const lines = files.map(({ path, size, type }) => {
    const shown = JSON.stringify(path).slice(1, -1);
    return type === 'file' ? `${shown} (${size} bytes)` : type === 'directory' ? `${shown}/` : `${shown} (${type})`;
  });
  return [
    ...(lines.length > 0 ? lines : ['There are no files.']),
    ...(truncated ? ['[truncated] There are more: list a folder.'] : []),
    sessionLines(session),
  ].join('\n');
}
