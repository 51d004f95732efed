import { attempt, type Finding } from '../../lib/finding.ts';
import type { Log } from '../../log.ts';
import { openCredentials } from '../../s3/credentials.ts';
import type { StorageAccess } from '../../s3/open-bucket.ts';
import type { CacheKeys, SharedStore } from './shared-store.ts';

const WHAT = 'shared cache';

/** Cache of packages that several servers share. */
export interface SharedCache {
  /** `s3://BUCKET/PREFIX`. */
  readonly url: string;
  /** Age in days from which an entry is removed. */
  readonly days: number;
  /** Keys that all servers have in common. */
  readonly keys?: CacheKeys | undefined;
  readonly access: StorageAccess;
}

/** @throws GloveboxError `invalid_input` for settings with which it can never be read */
export function checkShared({ access }: SharedCache): void {
  openCredentials({ file: access.archiveCredentialsFile, environment: access.hostEnvironment.storage });
}

/** Opens it. Its client is loaded only now. */
export async function openShared({ url, days, keys, access }: SharedCache, log: Log): Promise<SharedStore> {
  const [{ openBucket }, { SharedStore }] = await Promise.all([
    import('../../s3/open-bucket.ts'),
    import('./shared-store.ts'),
  ]);
  return new SharedStore({ bucket: openBucket(url, access, 'hasty'), days, keys, log });
}

/** Checks that it can be written and read. */
export async function examineShared({ url, access }: Pick<SharedCache, 'url' | 'access'>): Promise<readonly Finding[]> {
  return await attempt(WHAT, async () => {
    const [{ openBucket }, { tryBucket }, { trialName }] = await Promise.all([
      import('../../s3/open-bucket.ts'),
      import('../../s3/try-bucket.ts'),
      import('./shared-store.ts'),
    ]);
    const bucket = openBucket(url, access, 'hasty');
    try {
      await tryBucket(bucket, trialName());
      return [['ok', WHAT, `${url} can be written and read`]];
    } finally {
      await bucket.close();
    }
  });
}
