import type { ExecutionEnd, ExecutionRequest, Losable, SandboxReset } from './request.ts';
import { rulesFor } from './request-kinds.ts';

/** What can be lost, in the order in which results name it. */
const LOSABLE: readonly Losable[] = ['files', 'contexts', 'packages', 'background'];

/**
 * What was lost of a session, until somebody has surely been told. Whoever sees a loss adds it here; the end of each
 * execution asks here what it is to tell.
 */
export class LossLedger {
  /** Losses that nobody was told of, as one. */
  #pending: SandboxReset | undefined;
  /** Processes that were ended since an execution last ended: it may be its own end that they went with. */
  #processes: SandboxReset | undefined;
  /** What was added of each thing that is gone. */
  readonly #gone = new WeakMap<object, SandboxReset>();

  /** What nobody has been told of. */
  get pending(): SandboxReset | undefined {
    return this.#pending;
  }

  /** Adds a loss that no execution tells by itself. */
  add(loss: SandboxReset): void {
    this.#pending = merge(this.#pending, loss);
  }

  /** Adds what is lost with a thing, once: several executions may find out that it is gone. */
  addOnce(thing: object, findLoss: () => SandboxReset): SandboxReset {
    const known = this.#gone.get(thing);
    if (known) return known;
    const loss = findLoss();
    this.#gone.set(thing, loss);
    this.add(loss);
    return loss;
  }

  /** Adds what did not come back of an archive. A loss that is pending says that already, unless the archive is broken. */
  addMissingFromArchive(loss: SandboxReset): void {
    if (!this.#pending || loss.reason === 'archive_broken') this.#pending = loss;
  }

  /** Adds processes that were ended in a sandbox that lives on. */
  addProcesses(loss: SandboxReset): void {
    this.#processes = merge(this.#processes, loss);
  }

  /** Those processes, which count as added no more. */
  takeProcesses(): SandboxReset | undefined {
    const processes = this.#processes;
    this.#processes = undefined;
    return processes;
  }

  /**
   * What the end of an execution is to tell.
   * @param own what was lost by its own end
   * @param told `isHeard`: whether its caller surely hears it, so that nobody else is told; `keepIfUnheard`: whether it is the
   * first to tell its own loss, which stays pending if it is not heard
   */
  tell(
    own: SandboxReset | undefined,
    { isHeard, keepIfUnheard }: { readonly isHeard: boolean; readonly keepIfUnheard: boolean },
  ): SandboxReset | undefined {
    // Whatever else is lost says more than that one context is.
    const isMinor = own?.reason === 'context_ended';
    const told = own && !isMinor ? merge(this.#pending, own) : (this.#pending ?? own);
    if (isHeard) this.#pending = undefined;
    else if (keepIfUnheard) this.#pending = told;
    return told;
  }
}

/**
 * Whether what an end tells is surely heard. Who has cancelled may hear nothing, and the result of a background execution
 * may be asked for much later.
 */
export function isHeard(request: ExecutionRequest, { status }: ExecutionEnd): boolean {
  return rulesFor(request).isHeard && !request.background && status !== 'cancelled';
}

/**
 * What an execution tells that ended with its sandbox: what it changed itself is gone, whatever comes back.
 * @param own what was lost by its end
 * @param gone what does not come back of the sandbox
 */
export function ownLoss(own: SandboxReset, gone: SandboxReset, changed: readonly Losable[]): SandboxReset {
  const lost = own.lost.filter((what) => gone.lost.includes(what) || changed.includes(what));
  return { ...gone, reason: own.reason, lost };
}

export function inOrder(lost: Iterable<Losable>): Losable[] {
  const all = new Set(lost);
  return LOSABLE.filter((what) => all.has(what));
}

/** One loss after another that nobody was told of: all that is gone, and the earlier of the times that files are from. */
function merge(untold: SandboxReset | undefined, loss: SandboxReset): SandboxReset {
  if (!untold) return loss;
  const lost = inOrder([...untold.lost, ...loss.lost]);
  const { reason } = loss.lost.length < lost.length && untold.lost.includes('files') ? untold : loss;
  const from = [untold, loss].flatMap(({ restoredFrom: time }) => (time === undefined ? [] : [time])).sort()[0];
  return { reason, lost, ...(from === undefined ? {} : { restoredFrom: from }) };
}
