import { Counter, type Registry } from 'prom-client';
import type { Approvals } from './approvals.ts';

/** Counts how questions end, until disposed of. */
export function countApprovals(approvals: Approvals, registry: Registry): Disposable {
  const ended = new Counter({
    name: 'glovebox_approvals_total',
    help: 'Questions to people whether code may call a tool, by how they ended.',
    labelNames: ['outcome'],
    registers: [registry],
  });
  return approvals.watch((_, outcome) => {
    if (outcome !== undefined) ended.inc({ outcome });
  });
}
