import { z } from 'zod';
import type { KeptEntry } from '../files/workspace-entry.ts';

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
  /** What was lost of the session when it was hibernated, for its next result to tell. */
  lost: z.array(z.enum(['files', 'contexts', 'packages', 'background'])).optional(),
  /** Why, where its sandbox was lost; else it was lost by hibernating. */
  lost_with: z.literal('sandbox').optional(),
  /** Whether it is only there while it is sent: the next start removes it. */
  passing: z.boolean().optional(),
  entries: count,
  /** Bytes of all files in it. */
  bytes: count,
  /** A line of JSON for each entry. */
  index: z.object({ number: count, bytes: count, sha256 }),
  /** Contents of files, one after the other. */
  segments: z.array(z.object({ number: count, bytes: count, sha256 })),
});

export type ArchiveRecord = z.infer<typeof recordSchema>;

/** What of a record changes while its files stay. */
export type ArchiveState = Pick<ArchiveRecord, 'at_rest' | 'lost' | 'lost_with'>;

/** A record without the files that it consists of. */
export type ArchiveIdentity = Omit<ArchiveRecord, 'entries' | 'bytes' | 'index' | 'segments'>;

/** An entry with the place of its contents, if it has any. */
export interface IndexedEntry extends KeptEntry {
  readonly segment?: number;
  readonly offset?: number;
}
