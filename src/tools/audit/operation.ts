import type { Audit, AuditEntry } from '../../audit/audit.ts';
import { toGloveboxError } from '../../errors.ts';

/** Where an operation is kept, and over what it came. */
export interface OperationAudit {
  readonly audit: Audit;
  readonly transport: NonNullable<AuditEntry['transport']>;
}

/** Has an audit log keep an operation that is no tool. @throws as `work`, or GloveboxError `engine_unavailable` */
export async function auditOperation<T>(
  kept: OperationAudit | undefined,
  about: Pick<AuditEntry, 'owner' | 'operation' | 'execution'>,
  work: () => Promise<T>,
): Promise<T> {
  if (!kept) return await work();
  const { audit, transport } = kept;
  await audit.admit();
  const head = { event: 'call', began: new Date().toISOString(), transport, ...about } as const;
  const begin = performance.now();
  const keep = async (outcome: Pick<AuditEntry, 'outcome' | 'error'>) =>
    await audit.record({ ...head, ...outcome, duration_ms: Math.round(performance.now() - begin) });
  try {
    const done = await work();
    await keep({ outcome: 'ok' });
    return done;
  } catch (error) {
    await keep({ outcome: 'failed', error: toGloveboxError(error).code });
    throw error;
  }
}
