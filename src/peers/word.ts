import type { IncomingHttpHeaders } from 'node:http';
import { z } from 'zod';
import type { Forwarded } from './peer.ts';

/** Header with what a control plane tells another of a request. It counts only on a connection between the two. */
export const FORWARDED_HEADER = 'glovebox-forwarded';

const schema: z.ZodType<Forwarded> = z.object({
  owner: z.string(),
  approver: z.object({ name: z.string(), owner: z.string().optional() }).optional(),
  session: z.string().optional(),
  seeks: z.object({ kind: z.enum(['idempotency_key', 'execution', 'approval']), id: z.string() }).optional(),
  isStream: z.literal(true).optional(),
  usesTools: z.literal(true).optional(),
  asks: z.literal(true).optional(),
});

export function writeForwarded(forwarded: Forwarded): string {
  return Buffer.from(JSON.stringify(forwarded)).toString('base64url');
}

/** Reads what another control plane tells. Undefined if the header is missing or makes no sense. */
export function readForwarded(headers: IncomingHttpHeaders): Forwarded | undefined {
  const sent = headers[FORWARDED_HEADER];
  if (typeof sent !== 'string') return undefined;
  try {
    return schema.parse(JSON.parse(Buffer.from(sent, 'base64url').toString()));
  } catch {
    return undefined;
  }
}
