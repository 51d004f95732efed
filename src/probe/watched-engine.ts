import { GloveboxError } from '../errors.ts';
import type { PieceStream } from '../lib/reused-memory.ts';
import type {
  ConnectOptions,
  Engine,
  EngineInfo,
  SandboxInfo,
  SandboxRef,
  SandboxSpec,
  StartedSandbox,
} from '../sandbox/engine.ts';

export interface Watch {
  /** Looks whether sandboxes are sealed. Rejects if the engine may start none. */
  readonly look: () => Promise<void>;
  /** Has `onChange` called once the engine is another. Returns false if it cannot be watched so. */
  readonly watch: (onChange: () => void) => Promise<boolean>;
}

/**
 * An engine that is doubted until it was looked at, and again once it was restarted, could not be reached or, if it cannot
 * be watched, lost a sandbox: it may be another then, or without its limits. Starts wait for the look.
 */
export class WatchedEngine implements Engine {
  readonly #engine: Engine;
  readonly #watch: Watch;
  #isWatched = false;
  #isDoubted = true;
  #looking: Promise<void> | undefined;

  constructor(engine: Engine, watch: Watch) {
    this.#engine = engine;
    this.#watch = watch;
  }

  /** Looks at the engine if it is doubted. Calls that come meanwhile wait for the same look. */
  async settleDoubt(): Promise<void> {
    while (this.#isDoubted || this.#looking) {
      this.#looking ??= this.#lookAgain().finally(() => {
        this.#looking = undefined;
      });
      await this.#looking;
    }
  }

  async start(spec: SandboxSpec): Promise<StartedSandbox> {
    await this.settleDoubt();
    return await this.#listen(this.#engine.start(spec));
  }

  async connect(ref: SandboxRef, options?: ConnectOptions): Promise<PieceStream> {
    return await this.#listen(this.#engine.connect(ref, options));
  }

  async endProcesses(ref: SandboxRef): Promise<boolean> {
    return await this.#listen(this.#engine.endProcesses(ref));
  }

  async awaitMachine(ref: SandboxRef): Promise<number> {
    return await this.#listen(this.#engine.awaitMachine?.(ref) ?? Promise.resolve(0));
  }

  async remove(ref: SandboxRef): Promise<void> {
    await this.#listen(this.#engine.remove(ref));
  }

  async list(): Promise<SandboxInfo[]> {
    return await this.#listen(this.#engine.list());
  }

  async info(): Promise<EngineInfo> {
    return await this.#listen(this.#engine.info());
  }

  /** Watches before it looks, so that no change falls between. */
  async #lookAgain(): Promise<void> {
    if (!this.#isWatched) {
      const onChange = () => {
        this.#isWatched = false;
        this.#isDoubted = true;
      };
      this.#isWatched = await this.#watch.watch(onChange);
    }
    this.#isDoubted = false;
    try {
      await this.#watch.look();
    } catch (error) {
      this.#isDoubted = true;
      throw error;
    }
  }

  async #listen<T>(answer: Promise<T>): Promise<T> {
    try {
      return await answer;
    } catch (error) {
      const code = error instanceof GloveboxError ? error.code : undefined;
      if (code === 'engine_unavailable' || (code === 'sandbox_lost' && !this.#isWatched)) this.#isDoubted = true;
      throw error;
    }
  }
}
