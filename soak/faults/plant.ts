import { type Server, startServer } from '../../bench/server.ts';
import type { ServerLog } from '../server-log.ts';

const START_AGAIN_MS = 500;

export interface PlantOptions {
  readonly flags: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly log: ServerLog;
  readonly signal: AbortSignal;
}

/** The server under test, one process after the other over the same state directory and on the same port. */
export class Plant implements AsyncDisposable {
  readonly #options: PlantOptions;
  #server: Server | undefined;

  constructor(options: PlantOptions) {
    this.#options = options;
  }

  /** Whether it has ended without having been told to. */
  get hasFailed(): boolean {
    return this.#server?.hasEnded() === true;
  }

  /** Id of its process, while it runs. */
  get pid(): number | undefined {
    return this.#server?.pid;
  }

  /** Starts it, over and over while the engine is down. */
  async start(): Promise<Server> {
    const { flags, env, log, signal } = this.#options;
    for (;;) {
      try {
        this.#server = await startServer(flags, signal, { env, hear: (chunk) => log.take(chunk) });
        return this.#server;
      } catch (error) {
        if (signal.aborted) throw error;
        await new Promise((resolve) => setTimeout(resolve, START_AGAIN_MS));
      }
    }
  }

  async kill(): Promise<void> {
    await this.#server?.kill();
    this.#server = undefined;
  }

  /** In order, with its sessions kept. */
  async stop(): Promise<void> {
    await this.#server?.[Symbol.asyncDispose]();
    this.#server = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}
