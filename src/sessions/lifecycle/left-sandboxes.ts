import type { Log } from '../../log.ts';
import { type Engine, type SandboxInfo, shortName } from '../../sandbox/engine.ts';
import type { SharedState } from '../../state/state.ts';

/** Pause between two looks, in milliseconds. Random, so that control planes take turns. */
const PAUSE_MS = { least: 30_000, most: 60_000 };

export interface LeftSandboxesOptions {
  readonly engine: Pick<Engine, 'list' | 'remove'>;
  readonly state: SharedState;
  readonly log: Log;
}

/**
 * Removes sandboxes that dead control planes of the group left, and that no session has: those of their pools, and those that
 * they were starting.
 */
export class LeftSandboxes implements Disposable {
  readonly #options: LeftSandboxesOptions;
  /** Keys of those that were found in the last look. A control plane that has just started may not be known in one look. */
  #found: ReadonlySet<string> = new Set();
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: LeftSandboxesOptions) {
    this.#options = options;
    this.#later();
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  /** Removes those that the last look has found as well. */
  async look(): Promise<void> {
    const { engine, state } = this.#options;
    if (!state.isValid) return;
    const left = (await engine.list()).filter((sandbox) => this.#isLeft(sandbox));
    const before = this.#found;
    this.#found = new Set(left.map(({ key }) => key));
    for (const sandbox of left) if (before.has(sandbox.key) && !this.#closed) await this.#remove(sandbox);
  }

  #isLeft({ instance, key, isTied }: SandboxInfo): boolean {
    const { state } = this.#options;
    // It has a record, even if that cannot be read.
    if (isTied) return false;
    const run = state.nameOf(instance);
    if (run === undefined || [state.self, ...state.others].some(({ name }) => name === run)) return false;
    return !state.all().some(({ saved }) => saved?.key === key);
  }

  async #remove({ ref, instance }: SandboxInfo): Promise<void> {
    const { engine, state, log } = this.#options;
    // Only one of several that look at the same time removes it.
    if (!(await state.takeSandbox(ref, instance))) return;
    log.info('removing an orphaned sandbox', { sandbox: shortName(ref), instance });
    await engine.remove(ref);
  }

  #later(): void {
    const waitMs = PAUSE_MS.least + Math.random() * (PAUSE_MS.most - PAUSE_MS.least);
    const look = async () => {
      await this.look().catch((error: unknown) =>
        this.#options.log.warn('what other servers left could not be removed', { error }),
      );
      if (!this.#closed) this.#later();
    };
    this.#timer = setTimeout(() => void look(), waitMs);
    this.#timer.unref();
  }
}
