import type { SavedAccess } from '../../state/saved-access.ts';
import type { RecordedAccess } from './execution-access.ts';

export function toRecordedAccess({ tools, web }: RecordedAccess): SavedAccess {
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

export function fromRecordedAccess({ tools, web }: SavedAccess): RecordedAccess {
  if (!web) return { tools };
  const { bytes_in: bytesIn, bytes_out: bytesOut, ...rest } = web;
  return { tools, web: { ...rest, bytesIn, bytesOut } };
}
