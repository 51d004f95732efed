import { z } from 'zod';
import { sessionIdOutput, sessionLines } from './common-fields.ts';
import type { Tool } from './tool.ts';

const existingSession = z.string().min(1).describe('A session_id from an earlier result.');

const snapshotInput = z.strictObject({ session_id: existingSession });
const snapshotOutput = z.object({
  session_id: sessionIdOutput,
  snapshot_id: z.string(),
  size: z.number().int().describe('Bytes.'),
  created_at: z.string(),
});

export const snapshotSession: Tool<z.infer<typeof snapshotInput>, z.infer<typeof snapshotOutput>> = {
  name: 'snapshot_session',
  title: 'Snapshot a session',
  description: 'Keep files and packages of a session as they are now; fork_session goes back to them.',
  effect: 'adds',
  input: snapshotInput,
  output: snapshotOutput,
  handle: async ({ session_id }, { snapshots, caller, signal }) =>
    await snapshots.make(caller.owner, session_id, signal),
  summarize: ({ snapshot_id, size, session_id }) =>
    `[snapshot_id] ${snapshot_id} (${size} bytes)\n${sessionLines({ session_id })}`,
};

const forkInput = z
  .strictObject({
    session_id: existingSession.optional(),
    snapshot_id: z.string().min(1).max(64).optional().describe('Of snapshot_session.'),
    name: z.string().optional().describe('A name for the new one.'),
  })
  .refine((input) => (input.session_id === undefined) !== (input.snapshot_id === undefined), {
    error: 'name one of session_id and snapshot_id',
  });
const forkOutput = z.object({ session_id: sessionIdOutput, session_created: z.literal(true) });

export const forkSession: Tool<z.infer<typeof forkInput>, z.infer<typeof forkOutput>> = {
  name: 'fork_session',
  title: 'Fork a session',
  description: 'Make a session that begins with the files and packages of another or of a snapshot.',
  effect: 'adds',
  input: forkInput,
  output: forkOutput,
  handle: async ({ session_id, snapshot_id, name }, { snapshots, caller: { owner }, signal }) => {
    const made =
      snapshot_id === undefined
        ? await snapshots.fork(owner, session_id ?? '', name, signal)
        : await snapshots.open(owner, snapshot_id, name);
    return { session_id: made.session_id, session_created: true };
  },
  summarize: ({ session_id }) => `[session_id] ${session_id} (new; pass session_id to come back)`,
};
