import { z } from 'zod';
import { GloveboxError } from '../errors.ts';
import { displaySchema } from '../execution/displays.ts';

/** Forms of a server's answers, as far as commands read them. Fields of a later version are ignored. */

const time = z.string().transform((text) => new Date(text));
const ended = z.enum(['ok', 'error', 'timeout', 'cancelled', 'out_of_memory', 'crashed']);
const state = z.enum(['queued', 'running', ...ended.options]);
const files = z.array(z.object({ path: z.string(), size: z.number() }));

export const sessionAnswer = z
  .object({
    session_id: z.string(),
    state: z.enum(['active', 'hibernated']),
    created_at: time,
    last_used_at: time,
    expires_at: time,
    running: z.number(),
    contexts: z.array(z.string()),
  })
  .transform(({ session_id: id, created_at, last_used_at, expires_at, ...rest }) => ({
    ...{ id, ...rest, createdAt: created_at, lastUsedAt: last_used_at, expiresAt: expires_at },
  }));
export const sessionsAnswer = z.object({ sessions: z.array(sessionAnswer) });

const snapshot = z
  .object({ snapshot_id: z.string(), session_id: z.string(), size: z.number(), created_at: time })
  .transform(({ snapshot_id, session_id, size, created_at }) => ({
    ...{ id: snapshot_id, sessionId: session_id, size, createdAt: created_at },
  }));
export const snapshotAnswer = snapshot;
export const snapshotsAnswer = z.object({ snapshots: z.array(snapshot) });

export const executionsAnswer = z.object({
  executions: z.array(
    z
      .object({
        execution_id: z.string(),
        session_id: z.string(),
        started_at: time,
        status: state,
        background: z.boolean(),
        // A server of an earlier version runs code only.
        kind: z.string().default('code'),
        code: z.string(),
        stdout: z.string().optional(),
        stderr: z.string().optional(),
        error: z.string().optional(),
        duration_ms: z.number().optional(),
      })
      .transform(({ execution_id, session_id, started_at, background, kind, duration_ms, ...rest }) => ({
        ...{ id: execution_id, sessionId: session_id, startedAt: started_at, isBackground: background },
        ...{ isCommand: kind === 'command', durationMs: duration_ms, ...rest },
      })),
  ),
});

export const startedAnswer = z.object({ result: z.object({ execution_id: z.string() }) });

export const programsAnswer = z.object({
  executions: z.array(
    z
      .object({
        execution_id: z.string(),
        started_at: time,
        status: state,
        kind: z.enum(['code', 'command']).optional(),
        code: z.string().optional(),
      })
      .transform(({ execution_id: id, started_at: startedAt, ...rest }) => ({ id, startedAt, ...rest })),
  ),
});

export const listingAnswer = z.object({
  files: z.array(
    z.object({ path: z.string(), type: z.enum(['file', 'directory', 'link', 'other']), size: z.number() }),
  ),
  truncated: z.boolean().default(false),
});

export const programAnswer = z
  .object({
    execution_id: z.string(),
    status: ended,
    exit_code: z.number().nullable(),
    signal: z.string().optional(),
    error: z.object({ name: z.string(), hint: z.string().optional() }).optional(),
    limit: z.object({ name: z.string(), value: z.union([z.number(), z.string()]), setting: z.string() }).optional(),
    files,
    session_reset: z.object({ reason: z.string(), lost: z.array(z.string()) }).optional(),
  })
  .transform(({ execution_id, exit_code, session_reset, ...rest }) => ({
    ...{ executionId: execution_id, exitCode: exit_code, reset: session_reset, ...rest },
  }));

export const installAnswer = z.object({
  status: ended,
  packages: z.array(
    z.object({
      requested: z.string(),
      status: z.enum(['installed', 'already_satisfied', 'failed', 'not_attempted']),
      version: z.string().optional(),
      error: z.string().optional(),
    }),
  ),
  notes: z.array(z.string()).default([]),
});

export const terminalAnswer = z.object({ terminal_id: z.string() });

/** Reading of a background execution. */
export const readingAnswer = z.object({
  stdout: z.string(),
  stderr: z.string(),
  next: z.object({ stdout_offset: z.number(), stderr_offset: z.number() }),
});

/** Description of a server: what tells it from anything else that listens. */
export const serverAnswer = z.object({ version: z.string(), owner: z.string(), needs_key: z.boolean() });

export const textEvent = z.object({ text: z.string().default(''), base64: z.string().optional() });
export const progressEvent = z.object({ message: z.string() });
export const displayEvent = z.object({ result: displaySchema });

/** Reads an answer. @throws GloveboxError `internal_error` when it has another form */
export function readAnswer<T>(schema: z.ZodType<T>, answer: unknown): T {
  const { data, error } = schema.safeParse(answer);
  if (!error) return data;
  const [issue] = error.issues;
  throw new GloveboxError(
    'internal_error',
    `The answer of the server is not understood: ${issue?.path.join('.') || 'it'} is ${issue?.message ?? 'invalid'}.`,
    { hint: 'It may be of another version than this command. Use the same one for both.', cause: error },
  );
}
