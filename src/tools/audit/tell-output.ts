import type { AuditEntry } from '../../audit/audit.ts';
import type { ToolOutput } from '../tool.ts';

/** Reads fields that some tools have in common, each if it is there: a schema would cost more than all else. */
export function tellOutput(output: ToolOutput): Pick<AuditEntry, 'outcome'> & Partial<AuditEntry> {
  const { status, execution_id: execution, packages, web, tool_calls: calls, queued_ms: queued } = output;
  return {
    outcome: typeof status === 'string' ? status : 'ok',
    ...(typeof execution === 'string' && { execution }),
    ...(Array.isArray(packages) && { packages: versionsOf(packages) }),
    ...(isObject(web) && { hosts: count(web['hosts'], 'host', 'requests') }),
    ...(Array.isArray(calls) && { tools: count(calls, 'tool') }),
    ...(typeof queued === 'number' && { queued_ms: queued }),
  };
}

function versionsOf(packages: readonly unknown[]): Record<string, string> {
  const versions = packages.flatMap((item): [string, string][] => {
    if (!isObject(item)) return [];
    const { name, version } = item;
    return typeof name === 'string' && typeof version === 'string' ? [[name, version]] : [];
  });
  return Object.fromEntries(versions);
}

/** Counts items by their name. @param many field of how many an item stands for; one if left out */
function count(items: unknown, key: string, many?: string): Record<string, number> {
  const sums = new Map<string, number>();
  for (const item of Array.isArray(items) ? items : []) {
    if (!isObject(item)) continue;
    const name = item[key];
    const number = many === undefined ? 1 : item[many];
    if (typeof name === 'string' && typeof number === 'number') sums.set(name, (sums.get(name) ?? 0) + number);
  }
  return Object.fromEntries(sums);
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}
