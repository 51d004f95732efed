import { z } from 'zod';
import { parseSandboxJson } from '../lib/sandbox-json.ts';

/** What the runner has to say of the sandbox besides its executions, checked like any hostile input. */
const noteSchema = z.object({
  /** A module that programs will not find loaded, and why. */
  preload_failed: z.object({ module: z.string().max(200), reason: z.string().max(1000) }),
});

export type RunnerNotice = z.infer<typeof noteSchema>;

/** @throws Error when the payload is not a note. */
export function parseNotice(payload: Buffer): RunnerNotice {
  return noteSchema.parse(parseSandboxJson(payload));
}
