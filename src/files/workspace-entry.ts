import { z } from 'zod';
import { leftOutSchema } from './left-out.ts';

const count = z.number().int().nonnegative();

const entryShape = {
  path: z.string().min(1).max(8192),
  type: z.enum(['file', 'directory', 'link', 'hard']),
  size: count,
  mode: z.number().int().min(0).max(0o777),
  modified_ms: z.number().int().min(0).max(8.64e15),
  /** What tells this state of a file from any later one; empty or left out while nothing does. */
  mark: z.string().max(64).optional(),
  /** Path that a link leads to; of a hard link that of an earlier entry. */
  target: z.string().max(8192).optional(),
};

/** One thing of a workspace. */
export type KeptEntry = z.infer<z.ZodObject<typeof entryShape>>;

/** A line that a sandbox sends, as hostile as all of them. `same`: its contents are in the archive already. */
export const sentLineSchema = z.union([
  z.object({ ...entryShape, same: z.literal(true).optional() }),
  z.object({ end: z.literal(true), unreadable: count, passing: count, left_out: leftOutSchema.optional() }),
]);

/** What goes into an archive. Its body, left out where the archive has it, is to be taken before the next entry. */
export interface SavedEntry {
  readonly entry: KeptEntry;
  readonly body?: AsyncIterable<Buffer>;
}
