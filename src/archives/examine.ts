import { randomBytes } from 'node:crypto';
import { attempt, type Finding } from '../lib/finding.ts';
import { openKeys } from './keys.ts';
import type { ArchivePlace } from './place.ts';

const WHAT = 'archives';

/** Checks that archives can be written and read where they are to be. Those in a folder are checked with it. */
export async function examineArchives(place: ArchivePlace): Promise<readonly Finding[]> {
  const { archives: url = 'directory', archiveKeyFile: keys } = place;
  const ofKeys = await attempt('archive keys', async () => {
    if (keys === undefined) return [];
    const count = openKeys(keys)().length;
    return [['ok', 'archive keys', `${keys} has ${count}; the last one encrypts`]];
  });
  if (url === 'directory') return ofKeys;
  const ofBucket = await attempt(WHAT, async () => {
    const { openBucket } = await import('../s3/open-bucket.ts');
    const { tryBucket } = await import('../s3/try-bucket.ts');
    const bucket = openBucket(url, place, 'hasty');
    try {
      const isConditional = await tryBucket(bucket, `try/${randomBytes(8).toString('hex')}`);
      const said = `${url} can be written and read`;
      return isConditional
        ? [['ok', WHAT, said]]
        : [
            [
              'warn',
              WHAT,
              `${said}, but replaces without regard to If-Match and If-None-Match`,
              'Let one server alone write to this bucket: of two that write at once, one may undo what the other has saved.',
            ],
          ];
    } finally {
      await bucket.close();
    }
  });
  return [...ofBucket, ...ofKeys];
}
