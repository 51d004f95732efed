import { z } from 'zod';
import type { SandboxReset } from '../execution/request.ts';
import type { Timings } from '../execution/stopwatch.ts';
import { spellSentPath } from '../files/file-names.ts';
import type { Lease } from '../sessions/sessions.ts';

/** Fields that tools have in common. */

export const sessionIdInput = z
  .string()
  .min(1)
  .optional()
  .describe('Session to use: a session_id from an earlier result, or a name of your own (letters, digits, "_", "-").');

export const filePathInput = z
  .string()
  .min(1)
  .max(4096)
  .overwrite(spellSentPath)
  .refine((path) => path.isWellFormed(), 'a path is valid Unicode; a byte that is not UTF-8 is written as \\xff')
  .describe('Path in the session, such as "data/a.csv"; relative to /workspace.');

export const sessionIdOutput = z
  .string()
  .describe('Pass it to later calls to continue with the same files and packages.');

const sessionCreatedOutput = z
  .literal(true)
  .optional()
  .describe('The session is new: nothing of earlier calls is in it.');

const sessionResetOutput = z
  .object({
    reason: z.enum([
      'runner_lost',
      'runner_incompatible',
      'would_not_end',
      'sandbox_lost',
      'context_ended',
      'hibernated',
      'archive_broken',
      'connection_lost',
      'server_stopped',
    ]),
    lost: z.array(z.enum(['files', 'contexts', 'packages', 'background', 'terminals'])),
    restored_from: z.string().optional().describe('Files are those of this time; lost ones are newer.'),
  })
  .optional()
  .describe('What the session has lost, by this call or before it.');

/** Fields on the session in the output of every tool. */
export const sessionOutput = {
  session_id: sessionIdOutput,
  session_created: sessionCreatedOutput,
  session_reset: sessionResetOutput,
};

type SessionReset = NonNullable<z.infer<typeof sessionResetOutput>>;

/** Returns the fields that name the session of a result. */
export function identify({ session, created }: Lease): { session_id: string; session_created?: true } {
  return { session_id: session.id, ...(created ? { session_created: true } : {}) };
}

/** Returns the last lines of every summary: what was lost with the sandbox, then the session. */
export function sessionLines(output: {
  readonly session_id: string;
  readonly session_created?: true | undefined;
  readonly session_reset?: SessionReset | undefined;
  /** Context that the call ran in. */
  readonly context?: { readonly name: string } | undefined;
}): string {
  const { session_id, session_created, session_reset, context } = output;
  const reset = session_reset ? `${describeReset(session_reset, context?.name)}\n` : '';
  return `${reset}[session_id] ${session_id}${session_created ? ' (new and empty; pass session_id to come back)' : ''}`;
}

/** Describes a loss. If only one context ended, "contexts" alone would say too much. */
function describeReset({ reason, lost, restored_from }: SessionReset, context: string | undefined): string {
  const what =
    reason === 'context_ended' && context ? `what context ${context} had; all else is kept` : lost.join(', ');
  const since = restored_from === undefined ? '' : `; files are those of ${restored_from}`;
  return `[session_reset] ${reason}: lost ${what}${since}`;
}

/** Returns the field with the loss of a session, if there is any. */
export function tellReset({ reset }: { readonly reset?: SandboxReset | undefined }): { session_reset?: SessionReset } {
  if (!reset) return {};
  const { reason, lost, restoredFrom } = reset;
  return { session_reset: { reason, lost: [...lost], restored_from: restoredFrom } };
}

/** Fields with the duration of a call. */
export const timingsOutput = {
  duration_ms: z.number().describe('From its begin to its end, without what it waited before.'),
  queued_ms: z.number().optional().describe('Waited for its turn before that, if it had to.'),
};

/** Returns the fields with the duration of a call. */
export function tellTimings({ durationMs, queuedMs }: Timings): { duration_ms: number; queued_ms?: number } {
  return { duration_ms: durationMs, ...(queuedMs === undefined ? {} : { queued_ms: queuedMs }) };
}

/** Text that can be sent to a program as UTF-8. */
export function programText(limitBytes: number, what: string) {
  return z
    .string()
    .refine(
      (text) => text.isWellFormed(),
      `${what} holds a lone surrogate, which UTF-8 cannot carry; write it as an escape`,
    )
    .refine((text) => !text.includes('\0'), `${what} holds a NUL character; write it as \\0 or \\x00 in a string`)
    .refine(
      (text) => Buffer.byteLength(text) <= limitBytes,
      `${what} is longer than ${limitBytes} bytes; send less, or have the code read it from a file`,
    );
}
