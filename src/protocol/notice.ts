import { z } from 'zod';
import { parseSandboxJson } from '../lib/sandbox-json.ts';

/** Notice of the runner on the sandbox, not on an execution. It is checked, because it is not trusted. */
const noteSchema = z.object({
  /** Module that could not be preloaded, and why. */
  preload_failed: z.object({ module: z.string().max(200), reason: z.string().max(1000) }),
});

export type RunnerNotice = z.infer<typeof noteSchema>;

/** Reads a notice. @throws Error when the payload is not a notice */
export function parseNotice(payload: Buffer): RunnerNotice {
  return noteSchema.parse(parseSandboxJson(payload));
}
