import type { Log } from '../log.ts';
import type { StorageAccess } from '../s3/open-bucket.ts';
import type { ArchiveFiles } from './files/archive-files.ts';

/** Where archives are, and how they are encrypted. */
export interface ArchivePlace extends StorageAccess {
  /** `directory`, or `s3://BUCKET/PREFIX`. */
  readonly archives?: string | undefined;
  /** File of the keys that encrypt archives. Left out: they are not encrypted. */
  readonly archiveKeyFile?: string | undefined;
}

export interface ArchiveOwner {
  readonly name: string;
  readonly directory: string;
  /** Whether its name is never used again. */
  readonly isEphemeral: boolean;
}

/** Opens archives in the bucket of a URL. */
export type OpenS3 = (url: string, place: ArchivePlace, owner: ArchiveOwner, log: Log) => ArchiveFiles;
