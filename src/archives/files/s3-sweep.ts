import type { Log } from '../../log.ts';
import type { Bucket } from '../../s3/bucket.ts';
import { namesOf } from './archive-files.ts';
import type { S3Records } from './s3-records.ts';

/**
 * Age from which a file that no record names counts as left over, in milliseconds. A record names only files that its
 * writer began less than half of it ago.
 */
export const GRACE_MS = 24 * 3_600_000;
/** Age from which a broken archive that was set aside is removed, in milliseconds. */
const BROKEN_MS = 30 * GRACE_MS;

/**
 * Removes what control planes that ended have left: files that no record names, and uploads that were never finished.
 * Any control plane may do it, also several at once. By the clock of the storage, only what is older than a day goes.
 */
export async function sweep(bucket: Bucket, records: S3Records, log: Log, graceMs = GRACE_MS): Promise<void> {
  let [files, uploads] = [0, 0];
  for await (const { key, uploadId, begunMs } of bucket.uploads('files/')) {
    if (!(begunMs < bucket.now() - graceMs)) continue;
    await bucket.abort(key, uploadId);
    uploads += 1;
  }
  // Files first: what a record names when it is read later is not left over.
  const old: string[] = [];
  for await (const { key, modifiedMs } of bucket.list('files/')) if (modifiedMs < bucket.now() - graceMs) old.push(key);
  for await (const { key, modifiedMs } of bucket.list('try/'))
    if (modifiedMs < bucket.now() - graceMs) await bucket.delete(key);
  for await (const { key, modifiedMs } of bucket.list('broken/'))
    if (modifiedMs < bucket.now() - BROKEN_MS) await bucket.delete(key);
  const seen = new Set<string>();
  const named = new Set<string>();
  for await (const record of records.all(seen)) {
    if (record.passing && Date.parse(record.saved_at) < bucket.now() - graceMs) await records.remove(record);
    else for (const name of namesOf(record)) named.add(`files/${record.id}/${name}`);
  }
  // A record that cannot be read may name anything of its archive.
  const kept = new Set([...seen].map((key) => key.slice(key.lastIndexOf('/') + 1, -'.json'.length)));
  const readable = new Set([...named].map(archiveOf));
  for (const key of old) {
    if (named.has(key) || (kept.has(archiveOf(key)) && !readable.has(archiveOf(key)))) continue;
    await bucket.delete(key);
    files += 1;
  }
  if (files + uploads > 0) log.info('removed what was left of archives', { files, uploads });
}

function archiveOf(key: string): string {
  return key.split('/')[1] ?? '';
}
