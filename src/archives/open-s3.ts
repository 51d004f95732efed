import { GloveboxError } from '../errors.ts';
import { openBucket } from '../s3/open-bucket.ts';
import { S3Files } from './files/s3-files.ts';
import type { OpenS3 } from './place.ts';

/** Opens archives in the bucket of a URL. @throws GloveboxError `invalid_input` for a server whose name does not stay */
export const openS3: OpenS3 = (url, place, owner, log) => {
  if (owner.isEphemeral)
    throw new GloveboxError('invalid_input', `Archives in ${url} need a server whose name stays.`, {
      hint: 'Give it a name with GLOVEBOX_INSTANCE, or leave out GLOVEBOX_ARCHIVES.',
    });
  return new S3Files(openBucket(url, place), owner.name, log);
};
