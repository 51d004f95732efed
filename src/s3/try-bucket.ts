import { GloveboxError } from '../errors.ts';
import type { Bucket } from './bucket.ts';
import { StorageRefusal } from './errors.ts';

const BODY = Buffer.from('glovebox');
/** ETag that no object of these bytes has. */
const OTHER_ETAG = '"00000000000000000000000000000000"';

/**
 * Does with an object what is done with archives: writes it, in one piece and in parts, reads, copies, lists and deletes it.
 * @param key name of an object that is not there
 * @returns whether it is replaced only if a condition holds
 * @throws GloveboxError that says what the storage does not do
 */
export async function tryBucket(bucket: Bucket, key: string): Promise<boolean> {
  const copied = `${key}.copy`;
  try {
    const isConditional = await keepsConditions(bucket, key);
    const uploadId = await bucket.begin(key);
    const part = await bucket.putPart(key, uploadId, 1, BODY);
    await bucket.complete(key, uploadId, [part], BODY.length);
    await bucket.copy(key, copied, BODY.length);
    const back = await bucket.getRange(copied, 4, 4);
    if (!back?.body.equals(BODY.subarray(4)) || back.total !== BODY.length)
      throw lacks('gives back other bytes than it got');
    const listed = await Array.fromAsync(bucket.list(key), (object) => object.key);
    if (!listed.includes(key)) throw lacks('does not list what it has');
    return isConditional;
  } catch (error) {
    throw error instanceof StorageRefusal ? lacks(`refuses what archives need: ${error.message}`, error) : error;
  } finally {
    if (bucket.isReachable) await Promise.allSettled([bucket.delete(key), bucket.delete(copied)]);
  }
}

/** Whether an object is replaced only if a condition holds. @param key name of an object that may be replaced */
export async function keepsConditions(bucket: Bucket, key: string): Promise<boolean> {
  await bucket.put(key, BODY);
  for (const condition of ['absent', { etag: OTHER_ETAG }] as const) {
    try {
      await bucket.put(key, BODY, condition);
      return false;
    } catch (error) {
      if (!(error instanceof StorageRefusal)) throw error;
      if (error.status === 501) return false;
    }
  }
  return true;
}

function lacks(complaint: string, cause?: unknown): GloveboxError {
  return new GloveboxError('archive_unavailable', `The storage of archives ${complaint}.`, {
    hint: 'Use a server that docs/archives.md names, or look at what lies between.',
    cause,
  });
}
