import type { ExecutionEnd, ExecutionRequest, Losable } from '../execution/request.ts';

/** Changes that executions made, or may have made, to a session and that its archive does not contain yet. */
export class UnsavedChanges {
  #changed = new Set<Losable>();
  /** Changes that are being saved now. */
  #saving = new Set<Losable>();

  /** Whether there are changes that no save has begun to write. */
  get any(): boolean {
    return this.#changed.size > 0;
  }

  add(changed: Iterable<Losable>): void {
    for (const what of changed) this.#changed.add(what);
  }

  /** Saves the changes made so far. If that fails, they count as unsaved again. */
  async save<T>(work: () => Promise<T>): Promise<T> {
    this.#saving = this.#changed;
    this.#changed = new Set();
    try {
      return await work();
    } catch (error) {
      this.add(this.#saving);
      throw error;
    } finally {
      this.#saving = new Set();
    }
  }

  /** Returns the changes that are lost with the sandbox, including those of an unfinished save, and forgets them. */
  lose(): ReadonlySet<Losable> {
    const lost = new Set([...this.#changed, ...this.#saving]);
    this.#changed.clear();
    this.#saving.clear();
    return lost;
  }
}

/** Whether an execution may change something that archives contain. */
export function mayChange({ kind, file }: ExecutionRequest): boolean {
  if (kind === 'files') return ['write', 'delete', 'unpack'].includes(String(file?.['op']));
  return kind !== 'packages';
}

/** Returns what an execution changed according to its report; without a report, what it may have changed. */
export function changedBy(request: ExecutionRequest, { report }: ExecutionEnd): readonly Losable[] {
  if (!mayChange(request)) return [];
  if (request.kind === 'install') return ['packages'];
  const changedNothing = report?.files.length === 0 && !report.tmp_changed;
  const runsProgram = [undefined, 'command', 'terminal'].includes(request.kind);
  return runsProgram && changedNothing ? [] : ['files'];
}
