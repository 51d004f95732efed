import type { Log } from '../log.ts';
import type { HostAccess } from '../outbound/dispatchers.ts';
import type { Credentials } from '../s3/credentials.ts';
import type { ArchiveFiles } from './files/archive-files.ts';

/** Where archives are, and how they are encrypted. */
export interface ArchivePlace {
  /** `directory`, or `s3://BUCKET/PREFIX`. */
  readonly archives?: string | undefined;
  readonly archiveEndpoint?: string | undefined;
  readonly archiveRegion?: string | undefined;
  /** Whether the bucket is in the path of a URL (1) or in the host's name (0). */
  readonly archivePathStyle?: number | undefined;
  readonly archiveCredentialsFile?: string | undefined;
  /** File of the keys that encrypt archives. Left out: they are not encrypted. */
  readonly archiveKeyFile?: string | undefined;
  readonly hostEnvironment: HostAccess & {
    readonly storage: Partial<Credentials> & { readonly endpoint?: string; readonly region?: string };
  };
}

export interface ArchiveOwner {
  readonly name: string;
  readonly directory: string;
  /** Whether its name is never used again. */
  readonly isEphemeral: boolean;
}

/** Opens archives in the bucket of a URL. */
export type OpenS3 = (url: string, place: ArchivePlace, owner: ArchiveOwner, log: Log) => ArchiveFiles;
