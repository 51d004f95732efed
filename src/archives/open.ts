import { join } from 'node:path';
import type { Log } from '../log.ts';
import type { HostAccess } from '../outbound/dispatchers.ts';
import type { Credentials } from '../s3/credentials.ts';
import type { ArchiveFiles } from './files/archive-files.ts';
import { DirectoryFiles } from './files/directory-files.ts';
import { EncryptedFiles } from './files/encrypted-files.ts';
import { openKeys } from './keys.ts';

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

/** Returns what opens archives in a bucket, if they are in one. A server without one starts sooner without its client. */
export async function loadS3({ archives: url = 'directory' }: ArchivePlace): Promise<OpenS3 | undefined> {
  return url === 'directory' ? undefined : (await import('./open-s3.ts')).openS3;
}

/**
 * Opens the files of archives.
 * @param openS3 what `loadS3` has returned
 * @throws GloveboxError `invalid_input` for settings with which that always fails
 */
export function openArchiveFiles(
  place: ArchivePlace,
  owner: ArchiveOwner,
  log: Log,
  openS3: OpenS3 | undefined,
): ArchiveFiles {
  const inFolder = () => new DirectoryFiles(join(owner.directory, 'archives'));
  const files = place.archives && openS3 ? openS3(place.archives, place, owner, log) : inFolder();
  return place.archiveKeyFile === undefined ? files : new EncryptedFiles(files, openKeys(place.archiveKeyFile));
}
