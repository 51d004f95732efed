import { z } from 'zod';
import type { Tool } from './tool.ts';

const listInput = z.strictObject({});
const listOutput = z.object({
  sessions: z.array(
    z.object({
      session_id: z.string(),
      state: z.enum(['active', 'hibernated']).describe('A hibernated one comes back with its next call.'),
      created_at: z.string().describe('ISO 8601.'),
      last_used_at: z.string(),
      expires_at: z.string(),
      running: z.number().int().describe('Executions under way.'),
      contexts: z.array(z.string()).describe('Its live contexts.'),
    }),
  ),
});

/** Makes no session, and wakes none. */
export const listSessions: Tool<z.infer<typeof listInput>, z.infer<typeof listOutput>> = {
  name: 'list_sessions',
  title: 'List sessions',
  description: 'List your sessions, the latest used first.',
  effect: 'reads',
  input: listInput,
  output: listOutput,
  handle: async (_input, { sessions, caller }) => ({
    sessions: sessions.list(caller.owner).sort((a, b) => b.last_used_at.localeCompare(a.last_used_at)),
  }),
  summarize: ({ sessions }) =>
    sessions.length === 0
      ? 'There are no sessions.'
      : sessions
          .map(({ session_id, state, running, contexts, last_used_at }) =>
            [
              `${session_id} (${state}), last used ${last_used_at}`,
              running > 0 ? `${running} running` : undefined,
              contexts.length > 0 ? `contexts ${contexts.join(', ')}` : undefined,
            ]
              .filter((fact) => fact !== undefined)
              .join('; '),
          )
          .join('\n'),
};

const closeInput = z.strictObject({ session_id: z.string().min(1).describe('The session to close.') });
const closeOutput = z.object({ session_id: z.string(), closed: z.literal(true) });

export const closeSession: Tool<z.infer<typeof closeInput>, z.infer<typeof closeOutput>> = {
  name: 'close_session',
  title: 'Close a session',
  description: 'End a session: what runs in it, its files and packages are gone.',
  effect: 'ends',
  input: closeInput,
  output: closeOutput,
  handle: async ({ session_id }, { sessions, caller }) => {
    await sessions.close(caller.owner, session_id);
    return { session_id, closed: true };
  },
  summarize: ({ session_id }) => `[closed] ${session_id}`,
};
