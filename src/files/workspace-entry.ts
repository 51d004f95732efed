import { z } from 'zod';
import { leftOutSchema } from './left-out.ts';

const count = z.number().int().nonnegative();

const entryShape = {
  path: z.string().min(1).max(8192),
  type: z.enum(['file', 'directory', 'link', 'hard']),
  size: count,
  mode: z.number().int().min(0).max(0o777),
  modified_ms: z.number().int().min(0).max(8.64e15),
  /** Mark that differs for each state of a file. Empty or left out if the state cannot be told from a later one. */
  mark: z.string().max(64).optional(),
  /** Target of a link. For a hard link, the path of an earlier entry. */
  target: z.string().max(8192).optional(),
  /** Whether a file has holes. It gets them again where whole pages are zeros. */
  sparse: z.literal(true).optional(),
};

/** Entry of a workspace. */
export type KeptEntry = z.infer<z.ZodObject<typeof entryShape>>;

/**
 * Line from a sandbox, which is not trusted. `same`: the archive has its contents already. `packed`: they are compressed,
 * as src/files/packed.ts has it.
 */
export const sentLineSchema = z.union([
  z.object({ ...entryShape, same: z.literal(true).optional(), packed: z.literal(true).optional() }),
  z.object({ end: z.literal(true), unreadable: count, passing: count, left_out: leftOutSchema.optional() }),
]);

/** Entry to save in an archive. The body must be read before the next entry. It is absent if the archive has it already. */
export interface SavedEntry {
  readonly entry: KeptEntry;
  readonly body?: AsyncIterable<Buffer>;
  /** Whether the body is compressed, as src/files/packed.ts has it. */
  readonly packed?: boolean;
}

/** Entry that comes out of an archive. The body must be read before the next entry. */
export interface ArchivedContents {
  readonly entry: KeptEntry;
  readonly body: AsyncIterable<Buffer>;
  /** Number of bytes of the body, if it is compressed. */
  readonly packed?: number;
}
