import { GloveboxError } from '../errors.ts';
import { Bucket } from '../s3/bucket.ts';
import { openCredentials } from '../s3/credentials.ts';
import { S3Files } from './files/s3-files.ts';
import type { OpenS3 } from './place.ts';

/** Opens archives in the bucket of a URL. @throws GloveboxError `invalid_input` for a server whose name does not stay */
export const openS3: OpenS3 = (url, place, owner, log) => {
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
};
