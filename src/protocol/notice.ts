import { z } from 'zod';
import { parseSandboxJson } from '../lib/sandbox-json.ts';

/** Notice of the runner on the sandbox, not on an execution. It is checked, because it is not trusted. */
const noteSchema = z.object({
  /** Module that could not be preloaded, and why. */
  preload_failed: z.object({ module: z.string().max(200), reason: z.string().max(1000) }).optional(),
  /** What it has loaded because its session is expected to use it. */
  preloaded: z
    .object({
      /** Memory that the session has not used yet, in bytes. */
      bytes: z.number().int().nonnegative(),
      /** First module for which the memory did not suffice. */
      over: z.string().max(200).optional(),
    })
    .optional(),
});

export type RunnerNotice = z.infer<typeof noteSchema>;

/** Reads a notice. @throws Error when the payload is not a notice */
export function parseNotice(payload: Buffer): RunnerNotice {
  return noteSchema.parse(parseSandboxJson(payload));
}
