import { setTimeout as sleep } from 'node:timers/promises';
import { GloveboxError } from '../errors.ts';
import type { Log } from '../log.ts';
import { type Adopted, type AdoptedExecution, IncompatibleRunner } from './adopted.ts';
import { Channel, type OnTunnel, type RunnerConfiguration } from './channel.ts';
import type { ChannelExecution } from './channel-execution.ts';
import type { Engine } from './engine.ts';
import type { ExecutionEnd, ExecutionOptions, ExecutionRequest, SandboxReset, TerminationMeans } from './execution.ts';
import type { Report } from './report.ts';

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
    const { adopted } = await this.#connected();
    this.#untold = undefined;
    if (adopted) return adopted;
    // The runner is new: what the last one left is without a supervisor, if anything is.
    if (!(await this.#clear()))
      throw new GloveboxError('sandbox_lost', 'The sandbox could not be cleared and was removed.');
    return undefined;
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
    const end = await this.#follow(channel, channel.execute(request, options.onOutput), request, options);
    return reset && !end.reset ? { ...end, reset } : end;
  }

  /** Follows a background execution of an earlier control plane to its end, as `execute` does. */
  async resume(
    { channel: execution, endedBy }: AdoptedExecution,
    request: ExecutionRequest,
    options: Pick<ExecutionOptions, 'timeoutMs' | 'signal'>,
  ): Promise<ExecutionEnd> {
    const channel = await this.#connected();
    const isOurs = [...(channel.adopted?.executions.values() ?? [])].some((other) => other.channel === execution);
    if (!isOurs) return await this.#endAfterClearing();
    const end = await this.#follow(channel, execution, request, options);
    return endedBy && end.report ? { ...end, status: 'timeout', exitCode: null, termination: endedBy } : end;
  }

  async #follow(
    channel: Channel,
    execution: ChannelExecution,
    request: ExecutionRequest,
    options: Pick<ExecutionOptions, 'timeoutMs' | 'signal' | 'stdin'>,
  ): Promise<ExecutionEnd> {
    using stop = stopSignal(options.timeoutMs, options.signal);
    if (options.stdin) execution.input.pump(options.stdin).catch(stop.cancel);
    const first = await Promise.race([execution.ended, channel.closed.then(() => 'closed' as const), stop.reason]);
    if (first === 'closed') return this.#endOfLostRunner(channel);
    if (typeof first === 'string')
      return { ...(await this.#terminate(channel, execution, graceFor(request))), status: first, exitCode: null };
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
    this.#channel ??= this.#open();
    try {
      return await this.#channel;
    } catch (error) {
      this.#channel = undefined;
      if (error instanceof GloveboxError && error.code === 'sandbox_lost') await this.#discard();
      throw error;
    }
  }

  async #open(): Promise<Channel> {
    try {
      return await this.#openOnce();
    } catch (error) {
      const isLost =
        error instanceof GloveboxError && error.code === 'sandbox_lost' && !(error instanceof IncompatibleRunner);
      // Something of the session may stand in the way, for one by having taken the runner's name.
      if (!isLost || !(await this.#killAll().catch(() => false))) throw error;
      this.#untold = { reason: 'runner_lost', lost: PROCESSES_LOST };
      return await this.#openOnce();
    }
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
    void channel.closed.then(async ({ violation }) => {
      this.#connections -= 1;
      this.#channel = undefined;
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

  async #endOfLostRunner(channel: Channel): Promise<ExecutionEnd> {
    const { violation } = await channel.closed;
    if (violation) await this.#discard();
    return this.#endAfterClearing();
  }

  /** For an execution whose supervisor or runner was ended by someone: nothing of it may go on. */
  async #endAfterClearing(): Promise<ExecutionEnd> {
    if (this.#abandoned) return { status: 'cancelled', exitCode: null };
    const cleared = !this.#lost && (await this.#clear());
    const reset: SandboxReset = cleared
      ? { reason: 'runner_lost', lost: PROCESSES_LOST }
      : { reason: 'sandbox_lost', lost: ALL_LOST };
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
    return killed === true && (await this.#isEmpty());
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

function graceFor({ context }: ExecutionRequest): number {
  return context === undefined ? INTERRUPT_GRACE_MS : CONTEXT_GRACE_MS;
}

interface StopSignal extends Disposable {
  /** Resolves with why an execution must stop, when it must. */
  readonly reason: Promise<'timeout' | 'cancelled'>;
  readonly cancel: () => void;
}

/** Disposing it stops the clock. */
function stopSignal(timeoutMs: number, signal: AbortSignal): StopSignal {
  const { promise, resolve } = Promise.withResolvers<'timeout' | 'cancelled'>();
  const timer = setTimeout(resolve, timeoutMs, 'timeout');
  const onAbort = () => resolve('cancelled');
  signal.addEventListener('abort', onAbort, { once: true });
  return {
    reason: promise,
    cancel: onAbort,
    [Symbol.dispose]() {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
    },
  };
}

/** The promise's value, or undefined after so many milliseconds. */
async function within<T>(limitMs: number, promise: Promise<T>): Promise<T | undefined> {
  const { promise: late, resolve } = Promise.withResolvers<undefined>();
  const timer = setTimeout(resolve, limitMs, undefined);
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
