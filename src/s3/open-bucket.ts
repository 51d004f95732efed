import type { HostAccess } from '../outbound/dispatchers.ts';
import { Bucket } from './bucket.ts';
import type { Patience } from './client.ts';
import { type Credentials, openCredentials } from './credentials.ts';

/** Patience of those who can do without an answer. */
const HASTY: Patience = { attempts: 1, answerMs: 3000, largeAnswerMs: 20_000 };

/** How the storage of this server is reached. */
export interface StorageAccess {
  readonly archiveEndpoint?: string | undefined;
  readonly archiveRegion?: string | undefined;
  /** Whether the bucket is in the path of a URL (1) or in the host's name (0). */
  readonly archivePathStyle?: number | undefined;
  readonly archiveCredentialsFile?: string | undefined;
  readonly hostEnvironment: HostAccess & {
    readonly storage: Partial<Credentials> & { readonly endpoint?: string; readonly region?: string };
  };
}

/**
 * Opens what is below the prefix of a bucket.
 * @param url `s3://BUCKET/PREFIX`
 * @param mood `hasty`: what is not answered soon fails, because it can be had elsewhere
 * @throws GloveboxError `invalid_input` when there are no credentials
 */
export function openBucket(url: string, access: StorageAccess, mood: 'patient' | 'hasty' = 'patient'): Bucket {
  const { storage, caFile, proxy } = access.hostEnvironment;
  const region = access.archiveRegion ?? storage.region ?? 'us-east-1';
  const endpoint = access.archiveEndpoint ?? storage.endpoint;
  const { hostname: bucket, pathname } = new URL(url);
  const prefix = pathname.replace(/^\/+|\/+$/g, '');
  const place = {
    endpoint: new URL(endpoint ?? `https://s3.${region}.amazonaws.com`),
    region,
    bucket,
    pathStyle: access.archivePathStyle === undefined ? endpoint !== undefined : access.archivePathStyle === 1,
    credentials: openCredentials({ file: access.archiveCredentialsFile, environment: storage }),
    access: { caFile, proxy },
    ...(mood === 'hasty' ? { patience: HASTY } : {}),
  };
  return new Bucket(place, prefix ? `${prefix}/` : '');
}
