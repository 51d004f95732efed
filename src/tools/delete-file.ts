import { z } from 'zod';
import { SessionFiles } from '../files/session-files.ts';
import { filePathInput, identify, sessionIdInput, sessionLines, sessionOutput, tellReset } from './common-fields.ts';
import { leaseSession } from './lease-session.ts';
import type { Tool, ToolContext } from './tool.ts';

const inputSchema = z.strictObject({
  path: filePathInput,
  recursive: z.boolean().optional().describe('Delete a folder with all that is in it.'),
  session_id: sessionIdInput,
});

const outputSchema = z.object({
  ...sessionOutput,
  path: z.string(),
});

type Input = z.infer<typeof inputSchema>;
type Output = z.infer<typeof outputSchema>;

export const deleteFile: Tool<Input, Output> = {
  name: 'delete_file',
  title: 'Delete a file',
  description: 'Delete a file of the session, or a folder.',
  effect: 'ends',
  input: inputSchema,
  output: outputSchema,
  handle: deleteOne,
  summarize: ({ path, ...session }) => `[deleted] ${path}\n${sessionLines(session)}`,
};

async function deleteOne({ path, recursive = false, session_id }: Input, context: ToolContext): Promise<Output> {
  using lease = await leaseSession(context, session_id);
  const { end } = await new SessionFiles(lease.session, context.signal).delete(path, { recursive });
  return { ...identify(lease), path, ...tellReset(end) };
}
