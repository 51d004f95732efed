import { z } from 'zod';
import type { KeptEntry } from '../files/workspace-entry.ts';

const count = z.number().int().nonnegative();
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);

const file = z.object({
  number: count,
  bytes: count,
  sha256,
  /** Size of its parts, and their checksums, by which each is verified before it is used. */
  parts: z.object({ bytes: count.min(1), sha256: z.array(z.base64()) }).optional(),
  /** Id of the key that encrypts it. `bytes` and `sha256` are then of what it decrypts to. */
  key: z.string().optional(),
});

/** Smallest size that an archive is counted with, in bytes. Even an empty one has files. */
const LEAST_BYTES = 16 * 1024;

/** Record of an archive on disk: its session and its files. Times are in ISO 8601. */
const recordSchema = z.object({
  id: z.string().regex(/^snp_[0-9a-f]{24}$/),
  kind: z.enum(['session', 'snapshot']),
  owner: z.string().min(1),
  /** Id of the session that it holds or was made from. */
  session_id: z.string().min(1).max(64),
  /** Time when the session or the snapshot was created. */
  created_at: z.iso.datetime(),
  /** Time when it was saved. Its contents are not newer. */
  saved_at: z.iso.datetime(),
  /** Whether the session is hibernated. If not, this is a checkpoint of a session with a sandbox. */
  at_rest: z.boolean(),
  /** What the session lost when it was hibernated. The next result reports it. */
  lost: z.array(z.enum(['files', 'contexts', 'packages', 'background', 'terminals'])).optional(),
  /** Set if the cause of the loss was a lost sandbox, not hibernation. */
  lost_with: z.literal('sandbox').optional(),
  /** Patterns of hosts to which the executions of its session are narrowed. */
  web: z.array(z.string()).optional(),
  /** Whether it is temporary and exists only while it is sent. The next start removes it. */
  passing: z.boolean().optional(),
  /**
   * Number of the holder of its session that has written it, where several control planes share archives. A lower one
   * does not replace it.
   */
  generation: count.optional(),
  entries: count,
  /** Size of all files in it, in bytes. */
  bytes: count,
  /** File with a line of JSON for each entry. */
  index: file,
  /** Files with the contents of entries, one after the other. */
  segments: z.array(file),
});

/** @throws Error when it is none */
export function readRecord(json: string): ArchiveRecord {
  return recordSchema.parse(JSON.parse(json));
}

/** Returns the bytes that an archive counts for. Shared contents count for each archive. */
export function sizeOf({ index, segments }: ArchiveRecord): number {
  return segments.reduce((sum, { bytes }) => sum + bytes, Math.max(LEAST_BYTES, index.bytes));
}

export type ArchiveRecord = z.infer<typeof recordSchema>;

/** Part of a record that may change while its files stay. */
export type ArchiveState = Pick<ArchiveRecord, 'at_rest' | 'lost' | 'lost_with' | 'generation'>;

/** Record without its files. */
export type ArchiveIdentity = Omit<ArchiveRecord, 'entries' | 'bytes' | 'index' | 'segments'>;

export type RecordedFiles = Omit<ArchiveRecord, keyof ArchiveIdentity>;

export function filesOf({ entries, bytes, index, segments }: ArchiveRecord): RecordedFiles {
  return { entries, bytes, index, segments };
}

/** Entry with the place of its contents, if it has any. */
export interface IndexedEntry extends KeptEntry {
  readonly segment?: number;
  readonly offset?: number;
  /**
   * Instead of both, the place of contents that are compressed (src/files/packed.ts). It has a name of its own, so that
   * a release that cannot unpack finds no contents instead of wrong ones.
   */
  readonly packed?: { readonly segment: number; readonly offset: number; readonly bytes: number };
}
