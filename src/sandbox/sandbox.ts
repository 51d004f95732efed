import { setTimeout as sleep } from 'node:timers/promises';
import { GloveboxError } from '../errors.ts';
import type { Log } from '../log.ts';
import { type Adopted, type AdoptedExecution, IncompatibleRunner } from './adopted.ts';
import { Channel, type OnTunnel, type RunnerConfiguration } from './channel.ts';
import type { ChannelExecution } from './channel-execution.ts';
import type { Engine } from './engine.ts';
import type { ExecutionEnd, ExecutionOptions, ExecutionRequest, SandboxReset, TerminationMeans } from './execution.ts';
import type { Report } from './report.ts';
import { stopSignal, within } from './stop-signal.ts';

/** Between the interrupt and the kill: time for `finally` blocks. */
const INTERRUPT_GRACE_MS = 500;
/** A context has a state to keep, and a call into a library may take a while to hear the interrupt. */
const CONTEXT_GRACE_MS = 2000;
/** For the runner to confirm a kill; then the engine kills from outside. */
const KILL_CONFIRM_MS = 1000;
/** For the kill from outside: one in a fork bomb was measured to take 1.4 s. */
const UID_KILL_MS = 3000;

const EMPTY_LOOKS = 8;
const EMPTY_LOOK_EVERY_MS = 50;

const PROCESSES_LOST: SandboxReset['lost'] = ['contexts', 'background'];
const ALL_LOST: SandboxReset['lost'] = ['files', 'contexts', 'packages', 'background'];

const RUNNER_LOST: SandboxReset = { reason: 'runner_lost', lost: PROCESSES_LOST };

/** Between attempts to reach an engine that is away. */
const RECONNECT_EVERY_MS = 1000;
/** Of an engine that answers otherwise, until it is the sandbox that is to blame. */
const MOST_REFUSALS = 1;

type Following = Pick<ExecutionOptions, 'timeoutMs' | 'signal'>;

/** What is to be known of an execution that is followed to its end. */
interface Followed {
  readonly graceMs: number;
  /** Names it to the runner after this connection, if it outlives that. */
  readonly keptAs?: string | undefined;
}

export interface SandboxOptions {
  /** What its runners are told. */
  readonly configuration?: RunnerConfiguration;
  readonly log?: Log;
}

/** One running container with its runner. Never shared between sessions. */
export class Sandbox {
  readonly id: string;
  readonly key: string;
  readonly uid: number;
  /** Takes the connections that code makes to its package index; refused while there is none. */
  onTunnel: OnTunnel | undefined;
  readonly #engine: Engine;
  readonly #options: SandboxOptions;
  #channel: Promise<Channel> | undefined;
  #clearing: Promise<boolean> | undefined;
  #connections = 0;
  /** Whether a runner was there, which may be there still, or have left processes behind. */
  #hadRunner = false;
  /** Background executions that nobody follows any more, to be ended once the engine can be reached again. */
  readonly #givenUp = new Set<string>();
  #lost = false;
  /** It belongs to the next control plane: nothing in it is ended any more. */
  #abandoned = false;
  /** What was lost before an execution, for its result to tell. */
  #untold: SandboxReset | undefined;

  constructor(
    engine: Engine,
    { id, key, uid }: { id: string; key: string; uid: number },
    options: SandboxOptions = {},
  ) {
    this.#engine = engine;
    this.#options = options;
    this.id = id;
    this.key = key;
    this.uid = uid;
  }

  /** Whether the container is gone; such a sandbox runs nothing any more. */
  get lost(): boolean {
    return this.#lost;
  }

  /** Whether a runner is there, as far as is known without asking. */
  get connected(): boolean {
    return !this.#lost && this.#connections > 0;
  }

  /** Starts the runner if none is there. @throws GloveboxError `sandbox_lost` or `engine_unavailable`. */
  async connect(): Promise<void> {
    await this.#connected();
    this.#untold = undefined;
  }

  /**
   * Takes over what an earlier control plane left running; undefined when there is no telling what that is, and
   * every process was ended. @throws GloveboxError `sandbox_lost` or `engine_unavailable`.
   */
  async adopt(): Promise<Adopted | undefined> {
    this.#hadRunner = true;
    const { adopted } = await this.#connected();
    this.#untold = undefined;
    return adopted;
  }

  /**
   * Runs one program to its end, which this side's clock decides in the last resort.
   * Bad ends of the program are statuses, not errors.
   * @throws GloveboxError `sandbox_lost` or `engine_unavailable` when nothing was run.
   */
  async execute(request: ExecutionRequest, options: ExecutionOptions): Promise<ExecutionEnd> {
    const channel = await this.#connected();
    if (options.signal.aborted) return { status: 'cancelled', exitCode: null };
    const reset = this.#untold;
    this.#untold = undefined;
    const about = { graceMs: graceFor(request), ...(request.background ? { keptAs: request.keep?.id } : {}) };
    const end = await this.#follow(channel, channel.execute(request, options.onOutput), about, options);
    return reset && !end.reset ? { ...end, reset } : end;
  }

  /** Follows a background execution of an earlier control plane, or connection, to its end, as `execute` does. */
  async resume({ id }: AdoptedExecution, request: ExecutionRequest, options: Following): Promise<ExecutionEnd> {
    return await this.#resume(id, graceFor(request), options);
  }

  async #resume(id: string, graceMs: number, options: Following): Promise<ExecutionEnd> {
    const channel = await this.#connected();
    const execution = channel.adopted?.executions.get(id);
    if (!execution)
      return { status: 'crashed', exitCode: null, reset: { reason: 'runner_lost', lost: ['background'] } };
    const end = await this.#follow(channel, execution.channel, { graceMs, keptAs: id }, options);
    const { endedBy } = execution;
    return endedBy && end.report ? { ...end, status: 'timeout', exitCode: null, termination: endedBy } : end;
  }

  async #follow(
    channel: Channel,
    execution: ChannelExecution,
    { graceMs, keptAs }: Followed,
    options: Following & Pick<ExecutionOptions, 'stdin'>,
  ): Promise<ExecutionEnd> {
    const started = performance.now();
    using stop = stopSignal(options.timeoutMs, options.signal);
    if (options.stdin) execution.input.pump(options.stdin).catch(stop.cancel);
    const first = await Promise.race([execution.ended, channel.closed.then(() => 'closed' as const), stop.reason]);
    if (first === 'closed') {
      const timeoutMs = options.timeoutMs - (performance.now() - started);
      return await this.#endOfChannel(channel, { graceMs, keptAs }, { timeoutMs, signal: options.signal });
    }
    if (typeof first === 'string')
      return { ...(await this.#terminate(channel, execution, graceMs)), status: first, exitCode: null };
    await Promise.race([execution.delivered(), stop.reason]);
    execution.stopWaiting();
    return this.#endOf(first);
  }

  /** Removes the container with all that is in it. */
  async remove(): Promise<void> {
    this.#lost = true;
    await this.#dropChannel();
    await this.#engine.remove(this.id);
  }

  /** Leaves the container as it is and lets go of its runner, for the next control plane to adopt. */
  async abandon(): Promise<void> {
    this.#abandoned = true;
    await this.#dropChannel();
  }

  async #connected(): Promise<Channel> {
    await this.#clearing;
    if (this.#lost) throw new GloveboxError('sandbox_lost', 'The sandbox of this session is gone.');
    this.#channel ??= this.#open().then((channel) => {
      void channel.closed.then(() => {
        this.#channel = undefined;
      });
      return channel;
    });
    try {
      return await this.#channel;
    } catch (error) {
      this.#channel = undefined;
      if (isLost(error)) await this.#discard();
      throw error;
    }
  }

  async #open(): Promise<Channel> {
    const hadRunner = this.#hadRunner;
    const channel = await this.#openOnce().catch((error: unknown) => {
      if (!isLost(error) || error instanceof IncompatibleRunner) throw error;
      return undefined;
    });
    if (channel && (channel.adopted || !hadRunner)) {
      for (const id of this.#givenUp) channel.adopted?.executions.get(id)?.channel.kill();
      this.#givenUp.clear();
      return channel;
    }
    // What the last runner left is without a supervisor; or something of the session stands in the way of a new one.
    channel?.close();
    if (!(await this.#killAll())) throw new GloveboxError('sandbox_lost', 'The sandbox could not be cleared.');
    this.#untold = RUNNER_LOST;
    return await this.#openOnce();
  }

  async #openOnce(): Promise<Channel> {
    const stream = await this.#engine.connect(this.id, this.uid);
    const { configuration, log } = this.#options;
    const channel = await Channel.open(stream, {
      ...(configuration ? { configuration } : {}),
      onTunnel: (tunnel) => (this.onTunnel ? this.onTunnel(tunnel) : tunnel.destroy()),
      onNote: ({ preload_failed }) =>
        log?.warn('a module could not be preloaded', { sandbox: this.id.slice(0, 12), ...preload_failed }),
    });
    this.#connections += 1;
    this.#hadRunner = true;
    void channel.closed.then(async ({ violation }) => {
      this.#connections -= 1;
      // A runner that breaks the protocol is in hostile hands, and so is all that it could reach.
      if (violation) await this.#discard();
    });
    return channel;
  }

  async #dropChannel(): Promise<void> {
    const channel = await this.#channel?.catch(() => undefined);
    channel?.close();
  }

  /** The ladder: each means gets its time, and what survives them all ends with the container. */
  async #terminate(
    channel: Channel,
    execution: ChannelExecution,
    graceMs: number,
  ): Promise<Pick<ExecutionEnd, 'termination' | 'reset' | 'report'>> {
    const ended = Promise.race([execution.ended, channel.closed.then(() => undefined)]);
    execution.interrupt();
    let report = await within(graceMs, ended);
    let termination: TerminationMeans = 'interrupt';
    if (!report) {
      execution.stopWaiting();
      execution.kill();
      termination = 'kill';
      report = await within(KILL_CONFIRM_MS, ended);
    }
    execution.stopWaiting();
    if (report && 'refused' in report) return { termination };
    if (report && !('failed' in report) && !report.survivors) return { termination, report };
    const cleared = await this.#clear();
    return cleared
      ? { termination: 'uid_kill', reset: { reason: 'would_not_end', lost: PROCESSES_LOST } }
      : { termination: 'replaced', reset: { reason: 'would_not_end', lost: ALL_LOST } };
  }

  async #endOf(report: Report): Promise<ExecutionEnd> {
    if ('failed' in report) {
      const end = await this.#endAfterClearing();
      return { ...end, failure: report.failed };
    }
    if ('refused' in report) return { status: 'crashed', exitCode: null, failure: report.refused };
    const reset = report.survivors ? (await this.#endAfterClearing()).reset : undefined;
    const status =
      report.exit_code === 0
        ? 'ok'
        : report.exit_code !== null
          ? 'error'
          : report.oom_killed
            ? 'out_of_memory'
            : 'crashed';
    return { status, exitCode: report.exit_code, report, ...(reset ? { reset } : {}) };
  }

  /**
   * For an execution whose channel has closed. If only the connection broke, the session goes on: what ran in the
   * background is followed further, and the runner has ended what belonged to calls.
   * @throws GloveboxError `engine_unavailable` for such a call
   */
  async #endOfChannel(channel: Channel, { graceMs, keptAs }: Followed, options: Following): Promise<ExecutionEnd> {
    const { violation } = await channel.closed;
    if (violation) await this.#discard();
    // Who closed it on purpose knows what is lost.
    if (this.#abandoned || this.#lost || this.#clearing !== undefined) return this.#endAfterClearing();
    const next = await this.#reconnect(keptAs, options);
    if (!next) return this.#endAfterClearing();
    if (!next.adopted) {
      if (keptAs === undefined) this.#untold = undefined;
      return { status: 'crashed', exitCode: null, reset: RUNNER_LOST };
    }
    if (keptAs !== undefined) return { ...(await this.#resume(keptAs, graceMs, options)), reattached: true };
    throw new GloveboxError('engine_unavailable', 'The connection to the container engine broke, which ended this.', {
      hint: 'Call again: the session goes on, with its files, contexts and background executions.',
    });
  }

  /**
   * A channel to the same sandbox; undefined when it is the sandbox that is broken. Only what runs in the background,
   * and needs nobody meanwhile, waits for an engine that is away.
   * @throws GloveboxError `engine_unavailable`
   */
  async #reconnect(keptAs: string | undefined, { timeoutMs, signal }: Following): Promise<Channel | undefined> {
    const until = performance.now() + timeoutMs;
    for (let refusals = 0; !this.#abandoned && refusals <= MOST_REFUSALS; ) {
      try {
        return await this.#connected();
      } catch (error) {
        if (isLost(error)) return undefined;
        const isThere = await this.#engineAnswers();
        if (!isThere && (keptAs === undefined || signal.aborted || performance.now() > until)) {
          if (keptAs !== undefined) this.#givenUp.add(keptAs);
          throw error;
        }
        if (isThere) refusals += 1;
        await sleep(RECONNECT_EVERY_MS, undefined, { signal }).catch(() => {});
      }
    }
    return undefined;
  }

  async #engineAnswers(): Promise<boolean> {
    return await this.#engine.info().then(
      () => true,
      () => false,
    );
  }

  /** For an execution whose supervisor or runner was ended by someone: nothing of it may go on. */
  async #endAfterClearing(): Promise<ExecutionEnd> {
    if (this.#abandoned) return { status: 'cancelled', exitCode: null };
    const cleared = !this.#lost && (await this.#clear());
    const reset: SandboxReset = cleared ? RUNNER_LOST : { reason: 'sandbox_lost', lost: ALL_LOST };
    return { status: 'crashed', exitCode: null, reset };
  }

  /** Ends every process of the session's user; the container lives on. False when it had to be removed instead. */
  #clear(): Promise<boolean> {
    this.#clearing ??= this.#clearOnce().finally(() => {
      this.#clearing = undefined;
    });
    return this.#clearing;
  }

  async #clearOnce(): Promise<boolean> {
    if (this.#lost || this.#abandoned) return false;
    try {
      await this.#dropChannel();
      if (await this.#killAll()) return true;
    } catch {
      // An engine that cannot say how things are leaves one safe way.
    }
    await this.#discard();
    return false;
  }

  /** True when no process of the session's user is left. */
  async #killAll(): Promise<boolean> {
    const killed = await within(
      UID_KILL_MS,
      this.#engine.killUser(this.id, this.uid).then(() => true),
    );
    const isEmpty = killed === true && (await this.#isEmpty());
    if (isEmpty) this.#hadRunner = false;
    return isEmpty;
  }

  /**
   * Looks a few times: killed processes take a moment to be gone, many of them a longer one.
   * Only twice in a row counts, because processes that fork without end can be missed by a single look.
   */
  async #isEmpty(): Promise<boolean> {
    let emptyLooks = 0;
    for (let look = 1; look <= EMPTY_LOOKS; look += 1) {
      emptyLooks = (await this.#engine.hasProcesses(this.id, this.uid)) ? 0 : emptyLooks + 1;
      if (emptyLooks === 2) return true;
      await sleep(EMPTY_LOOK_EVERY_MS);
    }
    return false;
  }

  async #discard(): Promise<void> {
    if (this.#abandoned) return;
    this.#lost = true;
    // Boot and the hard lifetime catch what cannot be removed now.
    await this.#engine.remove(this.id).catch(() => {});
  }
}

function isLost(error: unknown): boolean {
  return error instanceof GloveboxError && error.code === 'sandbox_lost';
}

function graceFor({ context }: ExecutionRequest): number {
  return context === undefined ? INTERRUPT_GRACE_MS : CONTEXT_GRACE_MS;
}
