import { GloveboxError } from '../errors.ts';
import type { SandboxReset } from '../execution/request.ts';
import { within } from '../lib/deadline.ts';
import type { Log } from '../log.ts';
import { Channel, type OnTunnel, type RunnerConfiguration, type RunnerExpectation } from '../protocol/channel.ts';
import { GenerationRefused, IncompatibleRunner } from '../protocol/greeting.ts';
import type { RunnerNotice } from '../protocol/notice.ts';
import { apart, startSpan } from '../telemetry/trace.ts';
import { type Engine, type SandboxRef, SandboxUnreachable, shortName } from './engine.ts';

/** What is lost with all processes of a sandbox. */
export const PROCESSES_LOST: SandboxReset['lost'] = ['contexts', 'background'];
/** What is lost with its container. */
export const ALL_LOST: SandboxReset['lost'] = ['files', 'contexts', 'packages', 'background'];

export const RUNNER_LOST: SandboxReset = { reason: 'runner_lost', lost: PROCESSES_LOST };

/** Longest wait for the removal of a container, in milliseconds. Then its session continues without waiting. */
const REMOVAL_MS = 2000;

export interface RunnerConnectionOptions {
  /** Configuration to send to its runners. */
  readonly configuration?: RunnerConfiguration;
  readonly log?: Log;
}

/** Called when all processes of a sandbox were ended and its container stays. */
export type OnLoss = (loss: SandboxReset) => void;

/** Hold of this control plane on the session of a sandbox. */
export interface SandboxHold {
  /** @throws GloveboxError `session_moved` when another control plane may hold it, and with it the sandbox */
  require(): void;
  /** Whether it stands by the record of the session, which is read for that. @throws GloveboxError `engine_unavailable` */
  isConfirmed(): Promise<boolean>;
}

interface RunnerListeners {
  /** Returns the hold on the session that it belongs to, if it belongs to one. */
  readonly hold: () => SandboxHold | undefined;
  readonly onTunnel: OnTunnel;
  readonly onLoss: OnLoss;
  readonly onNotice: (notice: RunnerNotice) => void;
}

/** Channel, or an attempt to open one. Aborting `drop` ends either. */
interface Connection {
  readonly channel: Promise<Channel>;
  readonly drop: AbortController;
}

/** Error of a runner that refuses the session that it belongs to. Nothing that it could reach is trusted. */
class FalseRefusal extends GloveboxError {
  constructor() {
    super('sandbox_lost', 'The runner of the sandbox refuses the session that it belongs to.');
  }
}

/** Connects to the runner of one container, and makes sure that all its processes can be ended. */
export class RunnerConnection {
  readonly #engine: Engine;
  readonly #ref: SandboxRef;
  readonly #options: RunnerConnectionOptions & RunnerListeners;
  #connection: Connection | undefined;
  #clearing: Promise<boolean> | undefined;
  #ending: Promise<boolean> | undefined;
  #connections = 0;
  /** The newest open channel. */
  #channel: Channel | undefined;
  /** Whether a runner was started before. It may still run, or may have left processes behind. */
  #hadRunner = false;
  /** Of the connections from now on. */
  generation: number | undefined;
  /** Abandoned background executions, to end once the engine can be reached again. */
  readonly #givenUp = new Set<string>();
  #lost = false;
  #abandoned = false;
  /** Set once another control plane was found to have the container. */
  #refused: GenerationRefused | undefined;

  constructor(engine: Engine, ref: SandboxRef, options: RunnerConnectionOptions & RunnerListeners) {
    this.#engine = engine;
    this.#ref = ref;
    this.#options = options;
  }

  /** Whether the container is gone. */
  get lost(): boolean {
    return this.#lost;
  }

  /** Whether the container is left to the next control plane, so that nothing in it may be ended. */
  get abandoned(): boolean {
    return this.#abandoned;
  }

  /** Whether the runner is connected, as far as is known without asking it. */
  get connected(): boolean {
    return !this.#lost && this.#connections > 0 && !this.#channel?.outage;
  }

  /** Whether all processes are being ended. */
  get isClearing(): boolean {
    return this.#clearing !== undefined;
  }

  /** Records that an earlier control plane left a runner. */
  expectOne(): void {
    this.#hadRunner = true;
  }

  /**
   * Returns the channel to the runner. Starts a runner if there is none.
   * @throws GloveboxError `sandbox_lost` or `engine_unavailable`; GenerationRefused if another control plane has it
   */
  async reach(): Promise<Channel> {
    await this.#clearing;
    if (this.#refused) throw this.#refused;
    if (this.#lost || this.#abandoned) throw new GloveboxError('sandbox_lost', 'The sandbox of this session is gone.');
    this.#connection ??= this.#connect();
    const connection = this.#connection;
    let channel: Channel;
    try {
      channel = await connection.channel;
    } catch (error) {
      // The code that dropped the connection has handled the state of the sandbox.
      if (connection.drop.signal.aborted) return await this.reach();
      if (this.#connection === connection) this.#connection = undefined;
      if (isLost(error)) await this.discard();
      if (error instanceof GenerationRefused) this.#leaveTo(error);
      throw error;
    }
    // What was sent now would wait, perhaps beyond the time of its call.
    if (channel.outage) throw channel.outage;
    return channel;
  }

  /** Has the runner load what the session is expected to use. A later connection does not repeat it. */
  async expect(expectation: RunnerExpectation): Promise<void> {
    const { configuration } = this.#options;
    const channel = await this.#connection?.channel;
    if (configuration) channel?.configure({ ...configuration, expect: expectation });
  }

  /** Ends a background execution as soon as the runner can be reached again. */
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
   * Waits until the machine of the container answers. Returns for how many milliseconds it did not.
   * @throws SandboxUnreachable if it does not
   */
  async awaitMachine(): Promise<number> {
    try {
      return (await this.#engine.awaitMachine?.(this.#ref)) ?? 0;
    } catch (error) {
      if (error instanceof SandboxUnreachable) throw error;
      // Whoever ends processes then meets the same.
      return 0;
    }
  }

  /**
   * Ends every process of the session's user. The container stays.
   * @param loss the loss to report
   * @returns false if the container had to be removed instead
   * @throws SandboxUnreachable when the container and its connection stay as they are: what was told to end does so once it
   *   is reached again
   */
  clear(loss: SandboxReset): Promise<boolean> {
    this.#clearing ??= this.#clearOnce(loss).finally(() => {
      this.#clearing = undefined;
    });
    return this.#clearing;
  }

  /** Marks the container as lost, and removes it. */
  async discard(): Promise<void> {
    if (this.#abandoned) return;
    this.#options.hold()?.require();
    this.#lost = true;
    // The wait is short, because an engine may take half a minute to end a fork bomb. If the removal fails, the next start
    // of the server or the container's own lifetime removes it.
    await within(
      REMOVAL_MS,
      this.#engine.remove(this.#ref).catch(() => {}),
    );
  }

  /** Removes the container with everything in it, unless another control plane has it. @throws GloveboxError `engine_unavailable` */
  async remove(): Promise<void> {
    this.#lost = true;
    this.#drop();
    if (this.#refused) return;
    await this.#engine.remove(this.#ref);
  }

  /** Leaves everything running for the next control plane to adopt. */
  abandon(): void {
    this.#abandoned = true;
    this.#drop();
  }

  #leaveTo(refused: GenerationRefused): void {
    this.#refused = refused;
    this.abandon();
  }

  #connect(): Connection {
    const drop = new AbortController();
    const connection = { drop, channel: this.#openTraced(drop.signal) };
    const forget = () => {
      if (this.#connection === connection) this.#connection = undefined;
    };
    connection.channel.then(
      ({ closed }) => void closed.then(forget),
      () => {}, // Callers that wait for it get the error.
    );
    return connection;
  }

  /** The connection outlasts the call that needs it first, and so is no part of that; only the time until it is open. */
  #openTraced(dropped: AbortSignal): Promise<Channel> {
    const span = startSpan('glovebox.runner.connect');
    const opened = apart(() => this.#open(dropped));
    if (span) void opened.catch((error: unknown) => span.fail(error)).then(() => span.end());
    return opened;
  }

  async #open(dropped: AbortSignal): Promise<Channel> {
    const hadRunner = this.#hadRunner;
    const channel = await this.#openOnce(dropped).catch((error: unknown) => {
      if (!isLost(error) || isIncompatible(error) || error instanceof FalseRefusal) throw error;
      return undefined;
    });
    dropped.throwIfAborted();
    if (channel && (channel.runnerState || !hadRunner)) {
      for (const id of this.#givenUp) channel.runnerState?.executions.get(id)?.channel.kill();
      this.#givenUp.clear();
      return channel;
    }
    // Processes of the last runner have no supervisor, or a process of the session prevents the start of a new runner.
    channel?.close();
    const isEmpty = await this.#endProcesses();
    dropped.throwIfAborted();
    if (!isEmpty) throw new GloveboxError('sandbox_lost', 'The sandbox could not be cleared.');
    this.#options.onLoss(RUNNER_LOST);
    return await this.#openOnce(dropped);
  }

  async #openOnce(dropped: AbortSignal): Promise<Channel> {
    this.#options.hold()?.require();
    const stream = await this.#engine.connect(this.#ref, { generation: this.generation });
    dropped.addEventListener('abort', () => stream.destroy(), { once: true });
    if (dropped.aborted) stream.destroy();
    const { configuration, onTunnel, onNotice, log } = this.#options;
    const channel = await Channel.open(stream, {
      ...(configuration ? { configuration } : {}),
      onTunnel,
      onNote: (notice) => {
        const { preload_failed: failed } = notice;
        if (failed) log?.warn('a module could not be preloaded', { sandbox: shortName(this.#ref), ...failed });
        onNotice(notice);
      },
    }).catch(async (error: unknown) => {
      // Then it says nothing of the runner, which may go on.
      if (isLost(error)) throw (await stream.whyNotReached?.()) ?? error;
      if (!(error instanceof GenerationRefused) || !(await this.#isLie(error))) throw error;
      throw new FalseRefusal();
    });
    dropped.throwIfAborted();
    this.#connections += 1;
    this.#channel = channel;
    this.#hadRunner = true;
    void channel.closed.then(async ({ violation }) => {
      this.#connections -= 1;
      if (this.#channel === channel) this.#channel = undefined;
      // A runner that breaks the protocol is not trusted, nor is anything that it could reach.
      if (violation) await this.discard().catch(() => {});
    });
    return channel;
  }

  /**
   * Whether nobody has claimed the session so often as a refusal says. Code that has taken the runner over would say so to
   * keep its container from being removed.
   */
  async #isLie(refused: GenerationRefused): Promise<boolean> {
    const { generation = 0 } = this;
    if (generation === 0 || refused.generation <= generation) return true;
    return (await this.#options.hold()?.isConfirmed()) === true;
  }

  /** Drops the connection without waiting for its end. A runner that does not start would delay the cleanup. */
  #drop(): void {
    this.#connection?.drop.abort();
    this.#connection = undefined;
  }

  async #clearOnce(loss: SandboxReset): Promise<boolean> {
    if (this.#lost || this.#abandoned) return false;
    this.#options.hold()?.require();
    // One that is not made yet would delay this. One that is made ends with the runner: if that is not reached, others go on.
    if (!this.#channel) this.#drop();
    try {
      if (await this.#endProcesses()) {
        this.#drop();
        this.#options.onLoss(loss);
        return true;
      }
    } catch (error) {
      if (error instanceof SandboxUnreachable) throw error;
      // If the engine cannot tell the state, removal is the only safe way.
    }
    this.#drop();
    await this.discard();
    return false;
  }

  /** Ends all processes of the session's user. Returns true if none is left. */
  #endProcesses(): Promise<boolean> {
    // Only one at a time: two would kill each other's kill processes.
    this.#ending ??= this.#engine.endProcesses(this.#ref).finally(() => {
      this.#ending = undefined;
    });
    return this.#ending.then((isEmpty) => {
      if (isEmpty) this.#hadRunner = false;
      return isEmpty;
    });
  }
}

/** Whether the error means that the runner speaks another version of the protocol. */
export function isIncompatible(error: unknown): boolean {
  return error instanceof IncompatibleRunner;
}

export function isLost(error: unknown): boolean {
  return error instanceof GloveboxError && error.code === 'sandbox_lost';
}
