import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Done, Joined, Order } from './orders.ts';

const PLANE = fileURLToPath(new URL('plane.ts', import.meta.url));

/** A simulated control plane in a process of its own. */
export class PlaneProcess implements AsyncDisposable {
  readonly joined: Joined;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, joined: Joined) {
    this.#child = child;
    this.joined = joined;
  }

  /** @throws Error when it does not join */
  static async start(env: NodeJS.ProcessEnv): Promise<PlaneProcess> {
    const child = fork(PLANE, { env, stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    const ended = once(child, 'exit').then(([code]) => {
      throw new Error(`A control plane ended with ${code} before it had joined.`);
    });
    const [joined]: [Joined] = await Promise.race([once(child, 'message') as Promise<[Joined]>, ended]);
    ended.catch(() => {});
    return new PlaneProcess(child, joined);
  }

  /** Has it do something. One order at a time. @throws Error when it ends meanwhile */
  async follow(order: Order): Promise<Done> {
    this.#child.send(order);
    const stop = new AbortController();
    const ended = once(this.#child, 'exit', { signal: stop.signal }).then(() => {
      throw new Error('A control plane ended while it did something.');
    });
    try {
      const [done]: [Done] = await Promise.race([once(this.#child, 'message') as Promise<[Done]>, ended]);
      return done;
    } finally {
      stop.abort();
      ended.catch(() => {});
    }
  }

  /** Ends it as a crash does: its lease runs out. */
  async kill(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}
