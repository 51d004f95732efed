import { z } from 'zod';
import type { RecordedAccess } from './execution-access.ts';

const bytes = z.number().int().nonnegative();
const patterns = z.array(z.string()).optional();

/** Access of an execution on disk, while it runs. */
export const recordedAccessSchema = z.object({
  /** Access to tools: hash of its token, and its servers with their numbers of calls. */
  tools: z
    .object({ hash: z.string().max(64), servers: z.record(z.string(), z.number().int().nonnegative()) })
    .optional(),
  /** Access to other hosts: hash of its token, what narrows it, and its bytes so far. */
  web: z
    .object({ hash: z.string().max(64), session: patterns, patterns, bytes_in: bytes, bytes_out: bytes })
    .optional(),
});

type OnDisk = z.infer<typeof recordedAccessSchema>;

export function toRecordedAccess({ tools, web }: RecordedAccess): OnDisk {
  return {
    ...(tools ? { tools } : {}),
    ...(web
      ? {
          web: {
            hash: web.hash,
            ...(web.session ? { session: [...web.session] } : {}),
            ...(web.patterns ? { patterns: [...web.patterns] } : {}),
            ...{ bytes_in: web.bytesIn, bytes_out: web.bytesOut },
          },
        }
      : {}),
  };
}

export function fromRecordedAccess({ tools, web }: OnDisk): RecordedAccess {
  if (!web) return { tools };
  const { bytes_in: bytesIn, bytes_out: bytesOut, ...rest } = web;
  return { tools, web: { ...rest, bytesIn, bytesOut } };
}
