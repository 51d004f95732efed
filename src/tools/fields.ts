import { z } from 'zod';

/** Fields that tools have in common. */

export const sessionIdInput = z
  .string()
  .min(1)
  .optional()
  .describe('Session to use: a session_id from an earlier result, or a name of your own (letters, digits, "_", "-").');

export const sessionIdOutput = z
  .string()
  .describe('Pass it to later calls to continue with the same files and packages.');

export const sessionCreatedOutput = z
  .literal(true)
  .optional()
  .describe('The session is new: nothing of earlier calls is in it.');

export const sessionResetOutput = z
  .object({
    reason: z.enum(['runner_lost', 'would_not_end', 'sandbox_lost']),
    lost: z.array(z.enum(['files', 'packages', 'background'])),
  })
  .optional()
  .describe('The sandbox had to be cleared or replaced; what was lost with it.');

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
