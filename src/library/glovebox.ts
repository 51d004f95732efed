import type { Config } from '../config/config.ts';
import { Glovebox as Core, ephemeralName } from '../glovebox.ts';
import { createLog } from '../log.ts';
import { Access } from './access.ts';
import { type GloveboxOptions, readOptions } from './options.ts';
import { Sessions } from './sessions.ts';
import { Snapshots } from './snapshots.ts';

/** State of the engine and current load. */
export interface GloveboxHealth {
  readonly engine: { readonly name: string; readonly version: string };
  /** Reference of the sandbox image. */
  readonly image: string;
  /** Number of sessions of all owners. */
  readonly sessions: number;
  /** Wanted and actual number of sandboxes kept ready. */
  readonly pool: { readonly size: number; readonly ready: number };
  /** Number of running and waiting executions, and of places to run. */
  readonly executions: { readonly running: number; readonly waiting: number; readonly places: number };
  /** What fails at the storage of archives, by the last requests to it. Left out: nothing. */
  readonly archives?: { readonly code: string; readonly message: string; readonly hint: string };
}

type OpenWithOptions = Pick<GloveboxOptions, 'onProgress' | 'signal'>;

/** Container engine with the sessions in which code runs. */
export class Glovebox implements AsyncDisposable {
  readonly sessions: Sessions;
  readonly snapshots: Snapshots;
  readonly #access: Access;

  private constructor(access: Access) {
    this.#access = access;
    this.sessions = new Sessions(access);
    this.snapshots = new Snapshots(access);
  }

  /**
   * Finds the engine and the sandbox image, builds the image if it is missing, and starts the pool.
   *
   * ```
   * await using glovebox = await Glovebox.open({ engine: 'docker', image: 'slim', memoryMb: 512 });
   * ```
   * @throws GloveboxError `invalid_input` for options that are unknown or contradict each other; `engine_unavailable`
   * with what to do where no engine answers
   */
  static async open(options: GloveboxOptions = {}): Promise<Glovebox> {
    const { onProgress, signal } = options;
    return await Glovebox.openWith(readOptions(options), { onProgress, signal });
  }

  /**
   * Opens one with the settings of the environment, of a file and of flags, for commands.
   * @internal
   */
  static async openWith(config: Config, { onProgress, signal }: OpenWithOptions): Promise<Glovebox> {
    const core = await Core.open(config, {
      instance: config.instance ?? ephemeralName('library'),
      log: createLog(config.logLevel),
      mayInstall: config.setup === 'auto',
      // Some of its methods are synchronous, so they cannot wait for a session.
      adoptFirst: true,
      ...(onProgress ? { onProgress } : {}),
      ...(signal ? { signal } : {}),
    });
    return new Glovebox(new Access(core));
  }

  /**
   * Checks the engine.
   * @param options `deep`: also run code in a new sandbox
   * @throws GloveboxError when code cannot run
   */
  async health({ deep = false }: { readonly deep?: boolean } = {}): Promise<GloveboxHealth> {
    return await this.#access.glovebox.health(deep);
  }

  /**
   * Removes all sessions with their containers, unless `onShutdown: 'keep'` leaves them for the next one of the same
   * `instance`. Running code ends. A second call waits for the first.
   */
  async close(): Promise<void> {
    await this.#access.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
