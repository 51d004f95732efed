import type { Losable, SandboxReset } from './request.ts';

/** In the order in which results name them. */
const LOSABLE: readonly Losable[] = ['files', 'contexts', 'packages', 'background'];

export function inOrder(lost: Iterable<Losable>): Losable[] {
  const all = new Set(lost);
  return LOSABLE.filter((what) => all.has(what));
}

/** One loss after another that nobody was told of: all that is gone, and the earlier of the times that files are from. */
export function mergeResets(untold: SandboxReset | undefined, reset: SandboxReset): SandboxReset {
  if (!untold) return reset;
  const lost = inOrder([...untold.lost, ...reset.lost]);
  const { reason } = reset.lost.length < lost.length && untold.lost.includes('files') ? untold : reset;
  const from = [untold, reset].flatMap(({ restored_from: time }) => (time === undefined ? [] : [time])).sort()[0];
  return { reason, lost, ...(from === undefined ? {} : { restored_from: from }) };
}
