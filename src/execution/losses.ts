import type { ExecutionEnd, ExecutionRequest, Losable, SandboxReset } from './request.ts';
import { rulesFor } from './request-kinds.ts';

/** What can be lost, in the order in which results name it. */
const LOSABLE: readonly Losable[] = ['files', 'contexts', 'packages', 'background', 'terminals'];

/**
 * Records what a session has lost until a caller has certainly been told. Code that detects a loss adds it. When an
 * execution ends, the ledger returns the losses to report in its result.
 */
export class LossLedger {
  /** All losses that no caller was told of, merged into one. */
  #pending: SandboxReset | undefined;
  /** Loss of processes since the last execution ended. It may belong to the end of the running execution. */
  #processes: SandboxReset | undefined;
  /** The loss that was added for each thing that is gone, such as a sandbox. */
  readonly #gone = new WeakMap<object, SandboxReset>();

  /** All losses that no caller was told of. */
  get pending(): SandboxReset | undefined {
    return this.#pending;
  }

  /** Adds a loss that is not part of the end of an execution. */
  add(loss: SandboxReset): void {
    this.#pending = merge(this.#pending, loss);
  }

  /** Adds the loss of a thing once, although several executions may detect it. */
  addOnce(thing: object, findLoss: () => SandboxReset): SandboxReset {
    const known = this.#gone.get(thing);
    if (known) return known;
    const loss = findLoss();
    this.#gone.set(thing, loss);
    this.add(loss);
    return loss;
  }

  /** Adds what an archive could not restore. A pending loss includes that already, unless the archive is broken. */
  addMissingFromArchive(loss: SandboxReset): void {
    if (!this.#pending || loss.reason === 'archive_broken') this.#pending = loss;
  }

  /** Adds the loss of processes that were ended in a sandbox that stays. */
  addProcesses(loss: SandboxReset): void {
    this.#processes = merge(this.#processes, loss);
  }

  /** Returns the loss added by `addProcesses`, and forgets it. */
  takeProcesses(): SandboxReset | undefined {
    const processes = this.#processes;
    this.#processes = undefined;
    return processes;
  }

  /**
   * Returns the loss to report in the result of an execution.
   * @param own the loss that the end of this execution caused
   * @param told `isHeard`: the caller certainly gets this result, so no later result repeats the loss.
   *   `keepIfUnheard`: if the caller may not get it, the loss stays pending. It is set when no earlier result reported it.
   */
  tell(
    own: SandboxReset | undefined,
    { isHeard, keepIfUnheard }: { readonly isHeard: boolean; readonly keepIfUnheard: boolean },
  ): SandboxReset | undefined {
    const told = own ? this.#mergeOwn(own) : this.#pending;
    if (isHeard) this.#pending = undefined;
    else if (keepIfUnheard) this.#pending = told;
    return told;
  }

  #mergeOwn(own: SandboxReset): SandboxReset {
    // Any other loss says more than the loss of one context.
    const isMinor = own.reason === 'context_ended';
    return isMinor && this.#pending ? merge(own, this.#pending) : merge(this.#pending, own);
  }
}

/**
 * Whether the caller certainly learns of a loss from this result. A caller who cancelled may not receive the result. The
 * result of a background execution may be requested much later.
 */
export function isHeard(request: ExecutionRequest, { status }: ExecutionEnd): boolean {
  return rulesFor(request).isHeard && !request.background && status !== 'cancelled';
}

/**
 * Returns the loss to report for an execution that ended with its sandbox. Its own changes are lost, even if the archive
 * restores older files.
 * @param own the loss that its end caused
 * @param gone what the archive does not restore
 * @param changed what the execution changed
 */
export function ownLoss(own: SandboxReset, gone: SandboxReset, changed: readonly Losable[]): SandboxReset {
  const lost = own.lost.filter((what) => gone.lost.includes(what) || changed.includes(what));
  return { ...gone, reason: own.reason, lost };
}

/** Returns the losses without duplicates, in the order in which results name them. */
export function inOrder(lost: Iterable<Losable>): Losable[] {
  const all = new Set(lost);
  return LOSABLE.filter((what) => all.has(what));
}

/** Merges a pending loss with a later one: everything lost by either, and the earlier of their checkpoint times. */
function merge(untold: SandboxReset | undefined, loss: SandboxReset): SandboxReset {
  if (!untold) return loss;
  const lost = inOrder([...untold.lost, ...loss.lost]);
  const { reason } = loss.lost.length < lost.length && untold.lost.includes('files') ? untold : loss;
  const from = [untold, loss].flatMap(({ restoredFrom: time }) => (time === undefined ? [] : [time])).sort()[0];
  return { reason, lost, ...(from === undefined ? {} : { restoredFrom: from }) };
}
