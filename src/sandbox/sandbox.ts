import { setTimeout as sleep } from 'node:timers/promises';
import { GloveboxError } from '../errors.ts';
import { ExecutionClock } from '../execution/execution-clock.ts';
import type { FullReport, Report } from '../execution/report.ts';
import {
  type ExecutionEnd,
  type ExecutionOptions,
  type ExecutionRequest,
  type ExecutionStatus,
  endUnbegun,
  type SandboxReset,
} from '../execution/request.ts';
import { within } from '../lib/deadline.ts';
import type { Channel, OnTunnel, RunnerExpectation } from '../protocol/channel.ts';
import type { ChannelExecution } from '../protocol/channel-execution.ts';
import { GenerationRefused, type RunnerState, type RunningExecution } from '../protocol/greeting.ts';
import type { RunnerNotice } from '../protocol/notice.ts';
import { type Engine, type OpenedSandbox, type SandboxRef, SandboxUnreachable } from './engine.ts';
import type { Use } from './module-usage.ts';
import {
  ALL_LOST,
  isLost,
  type OnLoss,
  RUNNER_LOST,
  RunnerConnection,
  type RunnerConnectionOptions,
  type SandboxHold,
} from './runner-connection.ts';
import { isOtherKind, toProgram } from './running-program.ts';
import { type Grace, graceFor, terminate } from './termination.ts';

/** Interval of the attempts to reach an unavailable engine, in milliseconds. */
const RECONNECT_EVERY_MS = 1000;
/** Number of refused attempts by a working engine that are tolerated. After that, the sandbox counts as broken. */
const MOST_REFUSALS = 1;
/** Time to reach a runner again after the time limit of a call, in milliseconds. A working runner needs a tenth of it. */
const RECONNECT_GRACE_MS = 1000;
/** Time within which a working engine answers, in milliseconds. */
const ENGINE_ANSWER_MS = 3000;
/** Longest wait for the report of an ended execution, in milliseconds. */
const REPORT_LIMIT_MS = 5000;

/** Exit code of a shell whose last command was killed. */
const KILLED = 137;

/** Limits of an execution's duration. The deadline is a time of its clock. */
interface Until {
  readonly clock: ExecutionClock;
  readonly deadline: number;
  readonly signal: AbortSignal;
}

/** Execution that is followed to its end. */
interface Followed extends Until, Pick<ExecutionOptions, 'stdin' | 'onRunning'> {
  readonly grace: Grace;
  /** Id by which a later connection finds it, if it may outlive this one. */
  readonly keptAs?: string | undefined;
}

/** Options for an execution that an earlier connection began. */
export type ResumeOptions = Pick<ExecutionOptions, 'timeoutMs' | 'clock' | 'signal' | 'stdin' | 'onRunning'>;

/** Learns what executions use, and what runners load beforehand. */
export interface PreloadObserver {
  count(use: Use): void;
  hear(sandbox: Sandbox, notice: RunnerNotice): void;
}

/** Running container with its runner. Never shared between sessions. */
export class Sandbox {
  readonly key: string;
  readonly ref: SandboxRef;
  /** Label of the run of a control plane that has started it, or taken it over for its pool. Unset for that of a session. */
  readonly instance: string | undefined;
  /** Called with each connection that code makes to a service. While it is unset, connections are refused. */
  onTunnel: OnTunnel | undefined;
  /** Called with losses of a container that stays. Unset while the sandbox belongs to no session. */
  onLoss: OnLoss | undefined;
  /** Hold on the session that it belongs to. Unset while it belongs to none. */
  hold: SandboxHold | undefined;
  readonly #runner: RunnerConnection;
  readonly #preloads: PreloadObserver | undefined;

  constructor(
    engine: Engine,
    { ref, key, instance }: OpenedSandbox,
    { preloads, ...options }: RunnerConnectionOptions & { readonly preloads?: PreloadObserver | undefined } = {},
  ) {
    this.key = key;
    this.ref = ref;
    this.instance = instance;
    this.#preloads = preloads;
    const onTunnel: OnTunnel = (tunnel, service) => {
      if (this.onTunnel) this.onTunnel(tunnel, service);
      else tunnel.destroy();
    };
    this.#runner = new RunnerConnection(engine, ref, {
      ...options,
      onTunnel,
      onLoss: (loss) => this.onLoss?.(loss),
      hold: () => this.hold,
      onNotice: (notice) => preloads?.hear(this, notice),
    });
  }

  /** Whether the container is gone, so that the sandbox can run nothing. */
  get lost(): boolean {
    return this.#runner.lost;
  }

  /** Whether a runner is connected, as far as is known without asking it. */
  get connected(): boolean {
    return this.#runner.connected;
  }

  /** Sets how often the session was claimed. Later connections are refused if another control plane has claimed it since. */
  set generation(generation: number | undefined) {
    this.#runner.generation = generation;
  }

  /**
   * Starts the runner if there is none.
   * @throws GloveboxError `sandbox_lost` or `engine_unavailable`; GenerationRefused if another control plane has the sandbox
   */
  async connect(): Promise<void> {
    await this.#runner.reach();
  }

  /** Whether its runner can unpack the contents of an archive. @throws GloveboxError as `connect` does */
  async unpacks(): Promise<boolean> {
    return (await this.#runner.reach()).unpacks;
  }

  /** Has the runner load what the session is expected to use. */
  async expect(expectation: RunnerExpectation): Promise<void> {
    await this.#runner.expect(expectation);
  }

  /**
   * Takes over what an earlier control plane left running. If that cannot be determined, ends every process and returns
   * undefined.
   * @throws GloveboxError `sandbox_lost` or `engine_unavailable`
   */
  async adopt(): Promise<RunnerState | undefined> {
    this.#runner.expectOne();
    const { runnerState } = await this.#runner.reach();
    return runnerState;
  }

  /**
   * Runs one program to its end. In the last resort, the clock of the control plane ends it.
   * A program that fails has a status; it does not throw.
   * @throws GloveboxError `sandbox_lost` when nothing was run, `engine_unavailable` when it has ended or will end,
   *   `invalid_input` for arguments, a command or a terminal that a runner of an earlier version does not know
   */
  async execute(request: ExecutionRequest, options: ExecutionOptions): Promise<ExecutionEnd> {
    const channel = await this.#runner.reach();
    if (request.args && !channel.takesArgs) throw takesNoArgs();
    if (request.kind === 'command' && !channel.runsCommands) throw runsNoCommands();
    if (request.kind === 'terminal' && !channel.opensTerminals) throw opensNoTerminals();
    const { timeoutMs, clock = new ExecutionClock(), signal, stdin, onRunning, onOutput } = options;
    if (signal.aborted) return endUnbegun(signal);
    const deadline = clock.now() + timeoutMs;
    const keptAs = request.background && request.keep?.id;
    const grace = graceFor(request);
    const followed = { clock, deadline, signal, grace, keptAs, onRunning, ...(stdin ? { stdin } : {}) };
    const execution = channel.execute(request, onOutput);
    options.onSent?.();
    return await this.#follow(channel, execution, followed);
  }

  /** Follows a background execution of an earlier control plane to its end, as `execute` does. */
  async resume(
    { id }: RunningExecution,
    request: ExecutionRequest,
    { timeoutMs, clock = new ExecutionClock(), ...options }: ResumeOptions,
  ): Promise<ExecutionEnd> {
    const deadline = clock.now() + timeoutMs;
    const channel = await this.#runner.reach();
    return await this.#resume(channel, id, { ...options, clock, deadline, grace: graceFor(request) });
  }

  /** Removes the container with everything in it. */
  async remove(): Promise<void> {
    await this.#runner.remove();
  }

  /** Disconnects and leaves the container running for the next control plane to adopt. */
  abandon(): void {
    this.#runner.abandon();
  }

  async #follow(channel: Channel, execution: ChannelExecution, followed: Followed): Promise<ExecutionEnd> {
    const stop = followed.clock.startDeadline(followed.deadline, followed.signal);
    try {
      followed.onRunning?.(toProgram(channel, execution));
      if (followed.stdin) execution.input.pump(followed.stdin).catch(stop.cancel);
      const first = await Promise.race([execution.ended, stop.reason]);
      if (first === undefined) return await this.#endOfChannel(channel, followed);
      if (typeof first === 'string') {
        const terminated = await terminate(this.#runner, execution, followed.grace);
        return { ...terminated, status: first, exitCode: null };
      }
      if (!execution.isDelivered) await Promise.race([execution.delivered(), stop.reason]);
      execution.stopWaiting();
      return await this.#endOf(first);
    } finally {
      stop[Symbol.dispose]();
    }
  }

  async #resume(channel: Channel, id: string, followed: Followed): Promise<ExecutionEnd> {
    const execution = channel.runnerState?.executions.get(id);
    if (!execution)
      return { status: 'crashed', exitCode: null, reset: { reason: 'runner_lost', lost: ['background'] } };
    const deadline = Math.max(followed.deadline, execution.ended ? followed.clock.now() + REPORT_LIMIT_MS : 0);
    const end = await this.#follow(channel, execution.channel, { ...followed, deadline, keptAs: id });
    const { endedBy } = execution;
    return endedBy && end.report ? { ...end, status: 'timeout', exitCode: null, termination: endedBy } : end;
  }

  async #endOf(report: Report): Promise<ExecutionEnd> {
    if ('failed' in report) {
      const end = await this.#endAfterClearing();
      return { ...end, failure: report.failed };
    }
    if ('refused' in report && report.context_is) throw isOtherKind(report.context_is);
    if ('refused' in report) return { status: 'crashed', exitCode: null, failure: report.refused };
    this.#preloads?.count({ modules: report.imported ?? [], context: report.context_created === true });
    const reset = report.survivors ? (await this.#endAfterClearing()).reset : undefined;
    return { status: statusOf(report), exitCode: report.exit_code, report, ...(reset ? { reset } : {}) };
  }

  /** Finds out how an execution ended whose channel has closed. If only the connection broke, the session continues. */
  async #endOfChannel(channel: Channel, followed: Followed): Promise<ExecutionEnd> {
    const { violation } = await channel.closed;
    if (violation) await this.#runner.discard();
    // It was closed on purpose, and that code has recorded the loss.
    const { abandoned, lost, isClearing } = this.#runner;
    if (abandoned || lost || isClearing) return this.#endAfterClearing();
    const { keptAs } = followed;
    return keptAs === undefined ? await this.#endOfCall(followed) : await this.#followFurther(keptAs, followed);
  }

  /**
   * Determines the end of a call whose connection broke. The runner, if it still runs, ends the call. Code that prevents
   * the runner from being reached gains no time.
   * @throws GloveboxError `engine_unavailable` when only the connection broke, or the engine hangs
   */
  async #endOfCall({ clock, deadline, signal }: Until): Promise<ExecutionEnd> {
    using stop = clock.startDeadline(deadline, signal);
    const reconnected = this.#reconnect(signal, () => false);
    const next = await Promise.race([reconnected, stop.reason.then(() => within(RECONNECT_GRACE_MS, reconnected))]);
    if (next && !next.runnerState) return { status: 'crashed', exitCode: null, reset: RUNNER_LOST };
    // If the engine hangs, the files are kept. Remaining processes are ended when the sandbox can be reached again.
    if (next || !(this.#runner.lost || (await within(ENGINE_ANSWER_MS, this.#runner.engineAnswers())))) throw broken();
    const end = await this.#endAfterClearing();
    return signal.aborted ? { ...end, status: 'cancelled' } : end;
  }

  /** Follows a background execution after its connection broke. @throws GloveboxError `engine_unavailable` after its deadline */
  async #followFurther(id: string, followed: Followed): Promise<ExecutionEnd> {
    const { clock, deadline, signal } = followed;
    const mayWait = () => !signal.aborted && clock.now() <= deadline;
    const next = await this.#reconnect(signal, mayWait).catch((error: unknown) => {
      this.#runner.giveUp(id);
      throw error;
    });
    if (!next) return this.#endAfterClearing();
    if (!next.runnerState) return { status: 'crashed', exitCode: null, reset: RUNNER_LOST };
    return { ...(await this.#resume(next, id, followed)), reattached: true };
  }

  /**
   * Opens a new channel to the same sandbox. Returns undefined if the sandbox is broken.
   * @param mayWait whether to wait for an unavailable engine
   * @throws GloveboxError `engine_unavailable`; GenerationRefused if another control plane has the sandbox
   */
  async #reconnect(signal: AbortSignal, mayWait: () => boolean): Promise<Channel | undefined> {
    for (let refusals = 0; !this.#runner.abandoned && refusals <= MOST_REFUSALS; ) {
      try {
        return await this.#runner.reach();
      } catch (error) {
        if (isLost(error)) return undefined;
        if (error instanceof GenerationRefused) throw error;
        const isAway = error instanceof SandboxUnreachable || !(await this.#runner.engineAnswers());
        if (!isAway) refusals += 1;
        else if (!mayWait()) throw error;
        await sleep(RECONNECT_EVERY_MS, undefined, { signal }).catch(() => {});
      }
    }
    return undefined;
  }

  /** Ends all processes of an execution whose supervisor or runner was killed, and returns its end. */
  async #endAfterClearing(): Promise<ExecutionEnd> {
    if (this.#runner.abandoned) return { status: 'cancelled', exitCode: null };
    const cleared = !this.lost && (await this.#runner.clear(RUNNER_LOST));
    const reset: SandboxReset = cleared ? RUNNER_LOST : { reason: 'sandbox_lost', lost: ALL_LOST };
    return { status: 'crashed', exitCode: null, reset };
  }
}

function statusOf({ exit_code: code, oom_killed: isOverMemory, command }: FullReport): ExecutionStatus {
  if (code === 0) return 'ok';
  // So a shell says that its last command was killed.
  if (code !== null && !(command && isOverMemory && code === KILLED)) return 'error';
  return isOverMemory ? 'out_of_memory' : 'crashed';
}

function broken(): GloveboxError {
  return new GloveboxError(
    'engine_unavailable',
    'The connection to the container engine broke, which ended this call.',
    {
      hint: 'The session continues, with its files, contexts and background executions.',
      begun: true,
    },
  );
}

/** Public interface of a sandbox, which tests can implement without an engine. */
export type SandboxHandle = Pick<Sandbox, Exclude<keyof Sandbox, 'expect'>>;

function opensNoTerminals(): GloveboxError {
  return new GloveboxError(
    'invalid_input',
    'The sandbox of this session was started by an earlier version of Glovebox, which opens no terminals.',
    { hint: 'Use another session. Once the session has hibernated, it opens them too.' },
  );
}

function takesNoArgs(): GloveboxError {
  return new GloveboxError(
    'invalid_input',
    'The sandbox of this session was started by an earlier version of Glovebox, which passes no arguments to a program.',
    { hint: 'Leave the arguments out, or use another session. Once the session has hibernated, it takes them too.' },
  );
}

function runsNoCommands(): GloveboxError {
  return new GloveboxError(
    'invalid_input',
    'The sandbox of this session was started by an earlier version of Glovebox, which runs no commands.',
    {
      hint: 'Use another session, or start the command from Python code with subprocess. Once the session has hibernated, it runs commands too.',
    },
  );
}
