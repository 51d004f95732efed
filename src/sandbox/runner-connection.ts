import { GloveboxError } from '../errors.ts';
import type { SandboxReset } from '../execution/request.ts';
import { within } from '../lib/deadline.ts';
import type { Log } from '../log.ts';
import { Channel, type OnTunnel, type RunnerConfiguration } from '../protocol/channel.ts';
import { IncompatibleRunner } from '../protocol/greeting.ts';
import { type Engine, type SandboxRef, shortName } from './engine.ts';

/** What ends with all processes of a sandbox. */
export const PROCESSES_LOST: SandboxReset['lost'] = ['contexts', 'background'];
/** What ends with its container. */
export const ALL_LOST: SandboxReset['lost'] = ['files', 'contexts', 'packages', 'background'];

export const RUNNER_LOST: SandboxReset = { reason: 'runner_lost', lost: PROCESSES_LOST };

/** Milliseconds for the removal of a container, before its session goes on without it. */
const REMOVAL_MS = 2000;

export interface RunnerConnectionOptions {
  /** What its runners are told. */
  readonly configuration?: RunnerConfiguration;
  readonly log?: Log;
}

/** Hears of processes that were ended, all of them, in a sandbox that lives on. */
export type OnLoss = (loss: SandboxReset) => void;

interface RunnerListeners {
  readonly onTunnel: OnTunnel;
  readonly onLoss: OnLoss;
}

/** A channel, or the attempt to open one; aborting `drop` ends either. */
interface Connection {
  readonly channel: Promise<Channel>;
  readonly drop: AbortController;
}

/** The runner of one container: the way to it, and the certain end of all that runs there. */
export class RunnerConnection {
  readonly #engine: Engine;
  readonly #ref: SandboxRef;
  readonly #options: RunnerConnectionOptions & RunnerListeners;
  #connection: Connection | undefined;
  #clearing: Promise<boolean> | undefined;
  #ending: Promise<boolean> | undefined;
  #connections = 0;
  /** Whether a runner was there, which may be there still, or have left processes behind. */
  #hadRunner = false;
  /** Background executions that nobody follows any more, to be ended once the engine can be reached again. */
  readonly #givenUp = new Set<string>();
  #lost = false;
  #abandoned = false;

  constructor(engine: Engine, ref: SandboxRef, options: RunnerConnectionOptions & RunnerListeners) {
    this.#engine = engine;
    this.#ref = ref;
    this.#options = options;
  }

  /** Whether the container is gone. */
  get lost(): boolean {
    return this.#lost;
  }

  /** Whether it belongs to the next control plane: nothing in it is ended any more. */
  get abandoned(): boolean {
    return this.#abandoned;
  }

  /** Whether it is there, as far as is known without asking. */
  get connected(): boolean {
    return !this.#lost && this.#connections > 0;
  }

  /** Whether everything that runs is being ended. */
  get isClearing(): boolean {
    return this.#clearing !== undefined;
  }

  /** Says that an earlier control plane has left one. */
  expectOne(): void {
    this.#hadRunner = true;
  }

  /**
   * The channel to it; starts one if none is there.
   * @throws GloveboxError `sandbox_lost` or `engine_unavailable`
   */
  async reach(): Promise<Channel> {
    await this.#clearing;
    if (this.#lost || this.#abandoned) throw new GloveboxError('sandbox_lost', 'The sandbox of this session is gone.');
    this.#connection ??= this.#connect();
    const connection = this.#connection;
    try {
      return await connection.channel;
    } catch (error) {
      // Whoever dropped it knows what became of the sandbox.
      if (connection.drop.signal.aborted) return await this.reach();
      if (this.#connection === connection) this.#connection = undefined;
      if (isLost(error)) await this.discard();
      throw error;
    }
  }

  /** Has a background execution ended as soon as the runner is reached again. */
  giveUp(id: string): void {
    this.#givenUp.add(id);
  }

  async engineAnswers(): Promise<boolean> {
    return await this.#engine.info().then(
      () => true,
      () => false,
    );
  }

  /**
   * Ends every process of the session's user; the container lives on. False when it had to be removed instead.
   * @param loss what is to be told of it
   */
  clear(loss: SandboxReset): Promise<boolean> {
    this.#clearing ??= this.#clearOnce(loss).finally(() => {
      this.#clearing = undefined;
    });
    return this.#clearing;
  }

  /** Takes the container for lost, and has it removed. */
  async discard(): Promise<void> {
    if (this.#abandoned) return;
    this.#lost = true;
    // Nobody waits for long: an engine may take half a minute to end a fork bomb. Boot and the hard lifetime catch the rest.
    await within(
      REMOVAL_MS,
      this.#engine.remove(this.#ref).catch(() => {}),
    );
  }

  /** Removes the container with all that is in it. @throws GloveboxError `engine_unavailable` */
  async remove(): Promise<void> {
    this.#lost = true;
    this.#drop();
    await this.#engine.remove(this.#ref);
  }

  /** Leaves everything as it is, for the next control plane to adopt. */
  abandon(): void {
    this.#abandoned = true;
    this.#drop();
  }

  #connect(): Connection {
    const drop = new AbortController();
    const connection = { drop, channel: this.#open(drop.signal) };
    const forget = () => {
      if (this.#connection === connection) this.#connection = undefined;
    };
    connection.channel.then(
      ({ closed }) => void closed.then(forget),
      () => {}, // Whoever waits for it hears of it.
    );
    return connection;
  }

  async #open(dropped: AbortSignal): Promise<Channel> {
    const hadRunner = this.#hadRunner;
    const channel = await this.#openOnce(dropped).catch((error: unknown) => {
      if (!isLost(error) || isIncompatible(error)) throw error;
      return undefined;
    });
    dropped.throwIfAborted();
    if (channel && (channel.runnerState || !hadRunner)) {
      for (const id of this.#givenUp) channel.runnerState?.executions.get(id)?.channel.kill();
      this.#givenUp.clear();
      return channel;
    }
    // What the last runner left is without a supervisor; or something of the session stands in the way of a new one.
    channel?.close();
    const isEmpty = await this.#endProcesses();
    dropped.throwIfAborted();
    if (!isEmpty) throw new GloveboxError('sandbox_lost', 'The sandbox could not be cleared.');
    this.#options.onLoss(RUNNER_LOST);
    return await this.#openOnce(dropped);
  }

  async #openOnce(dropped: AbortSignal): Promise<Channel> {
    const stream = await this.#engine.connect(this.#ref);
    dropped.addEventListener('abort', () => stream.destroy(), { once: true });
    if (dropped.aborted) stream.destroy();
    const { configuration, onTunnel, log } = this.#options;
    const channel = await Channel.open(stream, {
      ...(configuration ? { configuration } : {}),
      onTunnel,
      onNote: ({ preload_failed }) =>
        log?.warn('a module could not be preloaded', { sandbox: shortName(this.#ref), ...preload_failed }),
    });
    dropped.throwIfAborted();
    this.#connections += 1;
    this.#hadRunner = true;
    void channel.closed.then(async ({ violation }) => {
      this.#connections -= 1;
      // A runner that breaks the protocol is in hostile hands, and so is all that it could reach.
      if (violation) await this.discard();
    });
    return channel;
  }

  /** Drops the connection, not waiting for its end: a runner that will not start would hold up what ends the cause. */
  #drop(): void {
    this.#connection?.drop.abort();
    this.#connection = undefined;
  }

  async #clearOnce(loss: SandboxReset): Promise<boolean> {
    if (this.#lost || this.#abandoned) return false;
    this.#drop();
    try {
      if (await this.#endProcesses()) {
        this.#options.onLoss(loss);
        return true;
      }
    } catch {
      // An engine that cannot say how things are leaves one safe way.
    }
    await this.discard();
    return false;
  }

  /** True when no process of the session's user is left. */
  #endProcesses(): Promise<boolean> {
    // Not two at once: they would kill each other's killers.
    this.#ending ??= this.#engine.endProcesses(this.#ref).finally(() => {
      this.#ending = undefined;
    });
    return this.#ending.then((isEmpty) => {
      if (isEmpty) this.#hadRunner = false;
      return isEmpty;
    });
  }
}

/** Whether a runner is there that speaks another version of the protocol. */
export function isIncompatible(error: unknown): boolean {
  return error instanceof IncompatibleRunner;
}

export function isLost(error: unknown): boolean {
  return error instanceof GloveboxError && error.code === 'sandbox_lost';
}
