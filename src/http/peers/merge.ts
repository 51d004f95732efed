/** How lists of several control planes become one. */
export interface Merged {
  /** Field of the list. */
  readonly field: string;
  /** Field that tells items apart, of which each is there once. */
  readonly id: string;
  /** Field with a time in ISO 8601, by which the list is in order. */
  readonly time: string;
  readonly newestFirst: boolean;
  readonly most?: number;
}

/** Lists of which each control plane has a part, by their paths. */
export const MERGED: ReadonlyMap<string, Merged> = new Map([
  ['/sessions', { field: 'sessions', id: 'session_id', time: 'created_at', newestFirst: false }],
  ['/executions', { field: 'executions', id: 'execution_id', time: 'started_at', newestFirst: true, most: 100 }],
  ['/approvals', { field: 'approvals', id: 'approval_id', time: 'asked_at', newestFirst: false }],
]);

/** Makes one list of several. Of items with the same id, the first counts. */
export function merge(
  { field, id, time, newestFirst, most }: Merged,
  answers: readonly Record<string, unknown>[],
): object {
  const byId = new Map<unknown, Record<string, unknown>>();
  for (const answer of answers) {
    const items = answer[field];
    for (const item of Array.isArray(items) ? (items as Record<string, unknown>[]) : []) {
      if (!byId.has(item[id])) byId.set(item[id], item);
    }
  }
  const sorted = [...byId.values()].sort((one, other) => String(one[time]).localeCompare(String(other[time])));
  if (newestFirst) sorted.reverse();
  return { [field]: sorted.slice(0, most) };
}
