import { setTimeout as sleep } from 'node:timers/promises';
import { GloveboxError } from '../errors.ts';
import type { Report } from '../execution/report.ts';
import {
  type ExecutionEnd,
  type ExecutionOptions,
  type ExecutionRequest,
  endUnbegun,
  type SandboxReset,
} from '../execution/request.ts';
import { startDeadline, within } from '../lib/deadline.ts';
import type { Channel, OnTunnel } from '../protocol/channel.ts';
import type { ChannelExecution } from '../protocol/channel-execution.ts';
import type { RunnerState, RunningExecution } from '../protocol/greeting.ts';
import type { Engine, SandboxInfo } from './engine.ts';
import {
  ALL_LOST,
  isLost,
  type OnLoss,
  RUNNER_LOST,
  RunnerConnection,
  type RunnerConnectionOptions,
} from './runner-connection.ts';
import { type Grace, graceFor, terminate } from './termination.ts';

/** Milliseconds between attempts to reach an engine that is away. */
const RECONNECT_EVERY_MS = 1000;
/** Refusals by an engine that answers otherwise, until it is the sandbox that is to blame. */
const MOST_REFUSALS = 1;
/** Milliseconds for a runner to be reached again after a call's time: a sound one takes a tenth of it. */
const RECONNECT_GRACE_MS = 1000;
/** Milliseconds for an engine to show that it does not hang. */
const ENGINE_ANSWER_MS = 3000;
/** Milliseconds for the report of an execution that has ended, which is on its way. */
const REPORT_LIMIT_MS = 5000;

/** How long an execution may go on; the deadline is of `performance.now()`. */
interface Until {
  readonly deadline: number;
  readonly signal: AbortSignal;
}

/** What is to be known of an execution that is followed to its end. */
interface Followed extends Until, Pick<ExecutionOptions, 'stdin'> {
  readonly grace: Grace;
  /** Names it to the runner after this connection, if it outlives that. */
  readonly keptAs?: string | undefined;
}

/** One running container with its runner. Never shared between sessions. */
export class Sandbox {
  readonly key: string;
  /** Takes the connections that code makes to its package index; refused while there is none. */
  onTunnel: OnTunnel | undefined;
  /** Hears what it loses while its container lives on; nobody has to be told while there is none. */
  onLoss: OnLoss | undefined;
  readonly #runner: RunnerConnection;

  constructor(engine: Engine, { ref, key }: Pick<SandboxInfo, 'ref' | 'key'>, options: RunnerConnectionOptions = {}) {
    this.key = key;
    const onTunnel: OnTunnel = (tunnel) => (this.onTunnel ? this.onTunnel(tunnel) : tunnel.destroy());
    this.#runner = new RunnerConnection(engine, ref, {
      ...options,
      onTunnel,
      onLoss: (loss) => this.onLoss?.(loss),
    });
  }

  /** Whether the container is gone; such a sandbox runs nothing any more. */
  get lost(): boolean {
    return this.#runner.lost;
  }

  /** Whether a runner is there, as far as is known without asking. */
  get connected(): boolean {
    return this.#runner.connected;
  }

  /** Starts the runner if none is there. @throws GloveboxError `sandbox_lost` or `engine_unavailable`. */
  async connect(): Promise<void> {
    await this.#runner.reach();
  }

  /**
   * Takes over what an earlier control plane left running; undefined when there is no telling what that is, and
   * every process was ended. @throws GloveboxError `sandbox_lost` or `engine_unavailable`.
   */
  async adopt(): Promise<RunnerState | undefined> {
    this.#runner.expectOne();
    const { runnerState } = await this.#runner.reach();
    return runnerState;
  }

  /**
   * Runs one program to its end, which this side's clock decides in the last resort.
   * Bad ends of the program are statuses, not errors.
   * @throws GloveboxError `sandbox_lost` when nothing was run, `engine_unavailable` when it has ended, or will
   */
  async execute(request: ExecutionRequest, options: ExecutionOptions): Promise<ExecutionEnd> {
    const channel = await this.#runner.reach();
    const { timeoutMs, signal, stdin, onOutput } = options;
    if (signal.aborted) return endUnbegun(signal);
    const deadline = performance.now() + timeoutMs;
    const keptAs = request.background && request.keep?.id;
    const followed = { deadline, signal, grace: graceFor(request), keptAs, ...(stdin ? { stdin } : {}) };
    return await this.#follow(channel, channel.execute(request, onOutput), followed);
  }

  /** Follows a background execution of an earlier control plane to its end, as `execute` does. */
  async resume(
    { id }: RunningExecution,
    request: ExecutionRequest,
    { timeoutMs, signal }: Pick<ExecutionOptions, 'timeoutMs' | 'signal'>,
  ): Promise<ExecutionEnd> {
    const deadline = performance.now() + timeoutMs;
    const channel = await this.#runner.reach();
    return await this.#resume(channel, id, { deadline, signal, grace: graceFor(request) });
  }

  /** Removes the container with all that is in it. */
  async remove(): Promise<void> {
    await this.#runner.remove();
  }

  /** Leaves the container as it is and lets go of its runner, for the next control plane to adopt. */
  abandon(): void {
    this.#runner.abandon();
  }

  async #follow(channel: Channel, execution: ChannelExecution, followed: Followed): Promise<ExecutionEnd> {
    using stop = startDeadline(followed.deadline - performance.now(), followed.signal);
    if (followed.stdin) execution.input.pump(followed.stdin).catch(stop.cancel);
    const first = await Promise.race([execution.ended, channel.closed.then(() => 'closed' as const), stop.reason]);
    if (first === 'closed') return await this.#endOfChannel(channel, followed);
    if (typeof first === 'string')
      return {
        ...(await terminate(this.#runner, channel, execution, followed.grace)),
        status: first,
        exitCode: null,
      };
    await Promise.race([execution.delivered(), stop.reason]);
    execution.stopWaiting();
    return this.#endOf(first);
  }

  async #resume(channel: Channel, id: string, followed: Followed): Promise<ExecutionEnd> {
    const execution = channel.runnerState?.executions.get(id);
    if (!execution)
      return { status: 'crashed', exitCode: null, reset: { reason: 'runner_lost', lost: ['background'] } };
    const deadline = Math.max(followed.deadline, execution.ended ? performance.now() + REPORT_LIMIT_MS : 0);
    const end = await this.#follow(channel, execution.channel, { ...followed, deadline, keptAs: id });
    const { endedBy } = execution;
    return endedBy && end.report ? { ...end, status: 'timeout', exitCode: null, termination: endedBy } : end;
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

  /** The end of an execution whose channel has closed. If only the connection broke, the session goes on. */
  async #endOfChannel(channel: Channel, followed: Followed): Promise<ExecutionEnd> {
    const { violation } = await channel.closed;
    if (violation) await this.#runner.discard();
    // Who closed it on purpose knows what is lost.
    const { abandoned, lost, isClearing } = this.#runner;
    if (abandoned || lost || isClearing) return this.#endAfterClearing();
    const { keptAs } = followed;
    return keptAs === undefined ? await this.#endOfCall(followed) : await this.#followFurther(keptAs, followed);
  }

  /**
   * A call ends with its connection: the runner sees to that, if there is one still. Code that keeps a runner from
   * coming back gains no time by that.
   * @throws GloveboxError `engine_unavailable` when only the connection broke, or the engine hangs
   */
  async #endOfCall({ deadline, signal }: Until): Promise<ExecutionEnd> {
    using stop = startDeadline(deadline - performance.now(), signal);
    const reconnected = this.#reconnect(signal, () => false);
    const next = await Promise.race([reconnected, stop.reason.then(() => within(RECONNECT_GRACE_MS, reconnected))]);
    if (next && !next.runnerState) return { status: 'crashed', exitCode: null, reset: RUNNER_LOST };
    // An engine that hangs loses nobody's files: what is left in there ends when the sandbox is reached again.
    if (next || !(this.#runner.lost || (await within(ENGINE_ANSWER_MS, this.#runner.engineAnswers())))) throw broken();
    const end = await this.#endAfterClearing();
    return signal.aborted ? { ...end, status: 'cancelled' } : end;
  }

  /** What runs in the background needs nobody meanwhile. @throws GloveboxError `engine_unavailable` when it is late */
  async #followFurther(id: string, followed: Followed): Promise<ExecutionEnd> {
    const { deadline, signal } = followed;
    const mayWait = () => !signal.aborted && performance.now() <= deadline;
    const next = await this.#reconnect(signal, mayWait).catch((error: unknown) => {
      this.#runner.giveUp(id);
      throw error;
    });
    if (!next) return this.#endAfterClearing();
    if (!next.runnerState) return { status: 'crashed', exitCode: null, reset: RUNNER_LOST };
    return { ...(await this.#resume(next, id, followed)), reattached: true };
  }

  /**
   * A channel to the same sandbox; undefined when it is the sandbox that is broken.
   * @param mayWait whether to wait for an engine that is away
   * @throws GloveboxError `engine_unavailable`
   */
  async #reconnect(signal: AbortSignal, mayWait: () => boolean): Promise<Channel | undefined> {
    for (let refusals = 0; !this.#runner.abandoned && refusals <= MOST_REFUSALS; ) {
      try {
        return await this.#runner.reach();
      } catch (error) {
        if (isLost(error)) return undefined;
        if (await this.#runner.engineAnswers()) refusals += 1;
        else if (!mayWait()) throw error;
        await sleep(RECONNECT_EVERY_MS, undefined, { signal }).catch(() => {});
      }
    }
    return undefined;
  }

  /** The end of an execution whose supervisor or runner was ended by someone: nothing of it may go on. */
  async #endAfterClearing(): Promise<ExecutionEnd> {
    if (this.#runner.abandoned) return { status: 'cancelled', exitCode: null };
    const cleared = !this.lost && (await this.#runner.clear(RUNNER_LOST));
    const reset: SandboxReset = cleared ? RUNNER_LOST : { reason: 'sandbox_lost', lost: ALL_LOST };
    return { status: 'crashed', exitCode: null, reset };
  }
}

function broken(): GloveboxError {
  return new GloveboxError('engine_unavailable', 'The connection to the container engine broke, which ended this.', {
    hint: 'Call again: the session goes on, with its files, contexts and background executions.',
  });
}

/** A sandbox as its users know it: what stands in for one in a test needs no engine. */
export type SandboxHandle = Pick<Sandbox, keyof Sandbox>;
