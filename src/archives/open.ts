import { join } from 'node:path';
import type { Log } from '../log.ts';
import type { ArchiveFiles } from './files/archive-files.ts';
import { DirectoryFiles } from './files/directory-files.ts';
import { EncryptedFiles } from './files/encrypted-files.ts';
import { openKeys } from './keys.ts';
import type { ArchiveOwner, ArchivePlace, OpenS3 } from './place.ts';

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
