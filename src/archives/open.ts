import { join } from 'node:path';
import { GloveboxError } from '../errors.ts';
import type { Log } from '../log.ts';
import type { HostAccess } from '../outbound/dispatchers.ts';
import { Bucket } from '../s3/bucket.ts';
import { type Credentials, openCredentials } from '../s3/credentials.ts';
import type { ArchiveFiles } from './files/archive-files.ts';
import { DirectoryFiles } from './files/directory-files.ts';
import { EncryptedFiles } from './files/encrypted-files.ts';
import { S3Files } from './files/s3-files.ts';
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

/** Opens the files of archives. @throws GloveboxError `invalid_input` for settings with which that always fails */
export function openArchiveFiles(place: ArchivePlace, owner: ArchiveOwner, log: Log): ArchiveFiles {
  const url = place.archives;
  const isS3 = url !== undefined && url !== 'directory';
  const files = isS3 ? openS3(url, place, owner, log) : new DirectoryFiles(join(owner.directory, 'archives'));
  return place.archiveKeyFile === undefined ? files : new EncryptedFiles(files, openKeys(place.archiveKeyFile));
}

function openS3(url: string, place: ArchivePlace, owner: ArchiveOwner, log: Log): ArchiveFiles {
  if (owner.isEphemeral)
    throw new GloveboxError('invalid_input', `Archives in ${url} need a server whose name stays.`, {
      hint: 'Give it a name with GLOVEBOX_INSTANCE, or leave out GLOVEBOX_ARCHIVES.',
    });
  const { storage, caFile, proxy } = place.hostEnvironment;
  const region = place.archiveRegion ?? storage.region ?? 'us-east-1';
  const endpoint = place.archiveEndpoint ?? storage.endpoint;
  const { hostname: bucket, pathname } = new URL(url);
  const prefix = pathname.replace(/^\/+|\/+$/g, '');
  const s3 = {
    endpoint: new URL(endpoint ?? `https://s3.${region}.amazonaws.com`),
    region,
    bucket,
    pathStyle: place.archivePathStyle === undefined ? endpoint !== undefined : place.archivePathStyle === 1,
    credentials: openCredentials({ file: place.archiveCredentialsFile, environment: storage }),
    access: { caFile, proxy },
  };
  return new S3Files(new Bucket(s3, prefix ? `${prefix}/` : ''), owner.name, log);
}
