import { z } from 'zod';
import { about, text, whole } from './value-types.ts';

const BUCKET = /s3:\/\/[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](\/[A-Za-z0-9._-]+)*\/?/;

/** Cache of packages in a bucket. */
export const sharedCache = {
  shared_cache: about(
    z
      .string()
      .regex(new RegExp(`^${BUCKET.source}$`), 'a bucket such as s3://bucket/prefix')
      .optional(),
    'Bucket of a cache of packages that several servers share, in the storage of archive_endpoint.',
    's3://packages/glovebox',
    'none',
  ),
  shared_cache_days: about(whole(1, 3650).default(30), 'Days after which an entry of shared_cache is removed.', '90'),
};

export const archives = {
  archives: about(
    z
      .string()
      .regex(new RegExp(`^(directory|${BUCKET.source})$`), '"directory", or a bucket such as s3://bucket/prefix')
      .default('directory'),
    'Where archives are: a folder in state_dir ("directory"), or a bucket of storage that speaks the protocol of S3.',
    's3://archives/glovebox',
  ),
  archive_endpoint: about(
    z
      .string()
      .regex(/^https?:\/\/[^\s@?#]+$/, 'a URL such as https://storage.example:9000')
      .optional(),
    'URL of that storage.',
    'https://storage.example:9000',
    'AWS_ENDPOINT_URL_S3 if it is set, else S3 of AWS in archive_region',
  ),
  archive_region: about(
    z
      .string()
      .regex(/^[a-z0-9-]{1,40}$/, 'a region such as eu-central-1')
      .optional(),
    'Region that requests to that storage are signed for.',
    'eu-central-1',
    'AWS_REGION if it is set, else us-east-1',
  ),
  archive_path_style: about(
    whole(0, 1).optional(),
    'Whether the bucket is in the path of a URL (1), or in the name of its host (0).',
    '1',
    '1 with an endpoint, else 0',
  ),
  archive_credentials_file: about(
    text.optional(),
    'File with aws_access_key_id and aws_secret_access_key for that storage. It is read again when it changes.',
    '/etc/glovebox/storage',
    'AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY',
  ),
  archive_key_file: about(
    text.optional(),
    'File of the keys that encrypt archives: 32 random bytes in base64, one key a line, the newest last.',
    '/etc/glovebox/archives.key',
    'archives are not encrypted',
  ),
};
