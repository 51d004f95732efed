import type { Log } from '../../log.ts';
import { type Engine, type SandboxInfo, shortName } from '../../sandbox/engine.ts';
import type { Pool } from '../../sandbox/pool.ts';
import { atRandomPauses } from '../../state/at-random-pauses.ts';
import type { SharedState } from '../../state/state.ts';

/** Pause between two looks, in milliseconds. Random, so that control planes take turns. */
const PAUSE_MS = { least: 30_000, most: 60_000 };
/** Longest wait after the end of another control plane, in milliseconds: they take turns then, too. */
const SOON_MS = 1000;

export interface LeftSandboxesOptions {
  readonly engine: Pick<Engine, 'list' | 'remove'>;
  readonly state: SharedState;
  /** Returns the own pool, once there is one. */
  readonly pool: () => Pick<Pool, 'adopt'> | undefined;
  readonly log: Log;
}

/**
 * Looks for sandboxes that dead control planes of the group left, and that no session has. Those that their pools had ready
 * are adopted, as far as the own pool has room. The others are removed, and so are those that were being started.
 */
export class LeftSandboxes implements Disposable {
  readonly #options: LeftSandboxesOptions;
  readonly #members: Disposable;
  /** Keys of those that were found in the last look. A control plane that has just started may not be known in one look. */
  #found: ReadonlySet<string> = new Set();
  /** Names of the others when they were looked at last. */
  #others: ReadonlySet<string>;
  readonly #looks: Disposable;
  #soon: NodeJS.Timeout | undefined;
  #adopting: Promise<ReadonlySet<string>> | undefined;
  #closed = false;

  constructor(options: LeftSandboxesOptions) {
    this.#options = options;
    this.#others = namesOf(options.state);
    this.#members = options.state.onMembers(() => this.#noteMembers());
    this.#looks = atRandomPauses(PAUSE_MS, () => this.#logged(() => this.look()));
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    this.#members[Symbol.dispose]();
    this.#looks[Symbol.dispose]();
    clearTimeout(this.#soon);
  }

  /** Adopts what it can, and removes what the last look has found as well. */
  async look(): Promise<void> {
    const { state } = this.#options;
    if (!state.isValid) return;
    const adopted = await this.adopt();
    const left = (await this.#left()).filter(({ key }) => !adopted.has(key));
    const before = this.#found;
    this.#found = new Set(left.map(({ key }) => key));
    for (const sandbox of left) if (before.has(sandbox.key) && !this.#closed) await this.#remove(sandbox);
  }

  /** Adopts sandboxes of pools while there is room for them. Returns the keys of those. */
  async adopt(): Promise<ReadonlySet<string>> {
    this.#adopting ??= this.#adopt().finally(() => {
      this.#adopting = undefined;
    });
    return await this.#adopting;
  }

  async #adopt(): Promise<ReadonlySet<string>> {
    const { state, pool, log } = this.#options;
    const adopted = new Set<string>();
    for (const { ref, key, instance, isPooled, running } of await this.#left()) {
      if (!isPooled || !running || this.#closed || !state.isValid) continue;
      try {
        if (!(await pool()?.adopt(() => state.adoptSandbox({ ref, key, instance })))) continue;
        adopted.add(key);
        log.info('adopted a sandbox of the pool of a server that is gone', { sandbox: shortName(ref), instance });
      } catch (error) {
        log.warn('a sandbox of a pool could not be adopted', { sandbox: shortName(ref), instance, error });
      }
    }
    return adopted;
  }

  async #left(): Promise<SandboxInfo[]> {
    return (await this.#options.engine.list()).filter((sandbox) => this.#isLeft(sandbox));
  }

  #isLeft({ instance, key, isTied }: SandboxInfo): boolean {
    const { state } = this.#options;
    // It was a session's. It goes with the record of that, even if the record cannot be read.
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

  /** Adopts soon after another control plane has ended: the pool may need what that had ready. */
  #noteMembers(): void {
    const before = this.#others;
    this.#others = namesOf(this.#options.state);
    if ([...before].every((name) => this.#others.has(name)) || this.#closed) return;
    clearTimeout(this.#soon);
    const adopt = () => void this.#logged(() => this.adopt());
    this.#soon = setTimeout(adopt, Math.random() * SOON_MS).unref();
  }

  async #logged(work: () => Promise<unknown>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!this.#closed) this.#options.log.warn('what other servers left could not be cleared', { error });
    }
  }
}

function namesOf({ others }: SharedState): ReadonlySet<string> {
  return new Set(others.map(({ name }) => name));
}
