import type { ExecutionEnd, ExecutionRequest, Losable } from '../execution/request.ts';

/** What executions changed of a session, or may have, that its archive does not have yet. */
export class UnsavedChanges {
  #changed = new Set<Losable>();
  /** What is being saved now. */
  #saving = new Set<Losable>();

  /** Whether there is any that is not even being saved. */
  get any(): boolean {
    return this.#changed.size > 0;
  }

  add(changed: Iterable<Losable>): void {
    for (const what of changed) this.#changed.add(what);
  }

  /** Saves what there is until now. If that fails, it is unsaved as before. */
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

  /** What is lost with the sandbox, half saved or not at all; nothing is unsaved after that. */
  lose(): ReadonlySet<Losable> {
    const lost = new Set([...this.#changed, ...this.#saving]);
    this.#changed.clear();
    this.#saving.clear();
    return lost;
  }
}

/** Whether an execution may change what an archive keeps. */
export function mayChange({ kind, file }: ExecutionRequest): boolean {
  if (kind === 'files') return ['write', 'delete', 'unpack'].includes(String(file?.['op']));
  return kind !== 'packages';
}

/** What an execution says that it changed, or may have changed where it says nothing. */
export function changedBy(request: ExecutionRequest, { report }: ExecutionEnd): readonly Losable[] {
  if (!mayChange(request)) return [];
  if (request.kind === 'install') return ['packages'];
  const changedNothing = report?.files.length === 0 && !report.tmp_changed;
  return request.kind === undefined && changedNothing ? [] : ['files'];
}
