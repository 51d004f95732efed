import { z } from 'zod';

const bytes = z.number().int().nonnegative();
const patterns = z.array(z.string()).optional();

/** Access of an execution while it runs, for the next control plane. It holds no token. */
export const savedAccessSchema = z.object({
  /** Access to tools: hash of its token, and its servers with their numbers of calls. */
  tools: z
    .object({ hash: z.string().max(64), servers: z.record(z.string(), z.number().int().nonnegative()) })
    .optional(),
  /** Access to other hosts: hash of its token, what narrows it, and its bytes so far. */
  web: z
    .object({ hash: z.string().max(64), session: patterns, patterns, bytes_in: bytes, bytes_out: bytes })
    .optional(),
});
export type SavedAccess = z.infer<typeof savedAccessSchema>;
