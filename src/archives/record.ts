import { z } from 'zod';
import { leftOutSchema } from '../files/left-out.ts';

const count = z.number().int().nonnegative();
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);

/** What an archive on disk is of, and the files that it consists of. Times are ISO 8601. */
export const recordSchema = z.object({
  id: z.string().regex(/^snp_[0-9a-f]{24}$/),
  kind: z.enum(['session', 'snapshot']),
  owner: z.string().min(1),
  /** The session that it is, or was made of. */
  session_id: z.string().min(1).max(64),
  /** When the session, or the snapshot, was made. */
  created_at: z.iso.datetime(),
  /** Nothing in it is newer. */
  saved_at: z.iso.datetime(),
  /** Whether a session consists of nothing else now; else it is the checkpoint of one that has a sandbox. */
  at_rest: z.boolean(),
  /** What was lost of the session when it was put to rest, for its next result to tell. */
  lost: z.array(z.enum(['files', 'contexts', 'packages', 'background'])).optional(),
  /** Why, where its sandbox was lost; else it was lost by hibernating. */
  lost_with: z.literal('sandbox').optional(),
  /** Whether it is only there while it is sent: the next start removes it. */
  passing: z.boolean().optional(),
  entries: count,
  /** Of all files in it. */
  bytes: count,
  /** A line of JSON for each entry. */
  index: z.object({ number: count, bytes: count, sha256 }),
  /** Contents of files, one after the other. */
  segments: z.array(z.object({ number: count, bytes: count, sha256 })),
});

export type ArchiveRecord = z.infer<typeof recordSchema>;

/** What of a record changes while its files stay. */
export type ArchiveState = Pick<ArchiveRecord, 'at_rest' | 'lost' | 'lost_with'>;

/** All of a record but what its files are. */
export type ArchiveIdentity = Omit<ArchiveRecord, 'entries' | 'bytes' | 'index' | 'segments'>;

const entryShape = {
  path: z.string().min(1).max(8192),
  type: z.enum(['file', 'directory', 'link', 'hard']),
  size: count,
  mode: z.number().int().min(0).max(0o777),
  modified_ms: z.number().int().min(0).max(8.64e15),
  /** What tells this state of a file from any later one; empty or left out while nothing does. */
  mark: z.string().max(64).optional(),
  /** Where a link leads; of a hard link the path of an earlier entry. */
  target: z.string().max(8192).optional(),
};

/** One thing of a workspace. */
export type KeptEntry = z.infer<z.ZodObject<typeof entryShape>>;

/** A line that a sandbox sends, as hostile as all of them. `same`: its contents are in the archive already. */
export const sentLineSchema = z.union([
  z.object({ ...entryShape, same: z.literal(true).optional() }),
  z.object({ end: z.literal(true), unreadable: count, passing: count, left_out: leftOutSchema.optional() }),
]);

/** With the place of its contents, if it has any. */
export interface IndexedEntry extends KeptEntry {
  readonly segment?: number;
  readonly offset?: number;
}

/** What goes into an archive. Its body, left out where the archive has it, is to be taken before the next entry. */
export interface SavedEntry {
  readonly entry: KeptEntry;
  readonly body?: AsyncIterable<Buffer>;
}
