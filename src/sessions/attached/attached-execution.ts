import type { Program } from '../../execution/program.ts';
import type { ExecutionResult } from '../../execution/result.ts';
import type { SessionFiles } from '../../files/session-files.ts';
import type { BackgroundRun, FollowedExecution } from '../background-execution.ts';
import type { BackgroundExecutions } from '../background-executions.ts';
import type { RecentExecutions } from '../recent-executions.ts';
import {
  type CodeSession,
  factsOf,
  prepareExecution,
  type RunOptions,
  runCode,
  type StartOptions,
} from '../run-code.ts';
import type { CalledResult } from './called-result.ts';

/** Options for code whose caller may leave it while it runs. */
export interface BeginOptions extends StartOptions, Pick<RunOptions, 'onEvent' | 'signal'> {}

/** Execution of a call that may return before its end. Until it is left, it is as that of any other call. */
export interface AttachedExecution {
  readonly id: string;
  /**
   * Waits for its end. Undefined if that does not come within `ms` milliseconds. By default, waits as long as it takes.
   * @throws GloveboxError if it could not run
   */
  end(ms?: number): Promise<ExecutionResult | undefined>;
  /**
   * Lets it go on as a background execution, which its caller follows as a task. False if too many run in the background;
   * then it is still its caller's.
   */
  leave(): boolean;
  cancel(): void;
}

/** Part of a session that is needed to run code whose caller may leave it. */
export interface AttachableSession extends CodeSession {
  readonly background: Pick<BackgroundExecutions, 'attach' | 'keep' | 'record'>;
  readonly files: Pick<SessionFiles, 'delete'>;
  readonly recent: Pick<RecentExecutions, 'begin' | 'leave'>;
  use(): Disposable;
}

/** Starts a program. @throws GloveboxError `invalid_input` */
export function beginAttached(
  session: AttachableSession,
  program: Program,
  { onEvent, signal = new AbortController().signal, ...options }: BeginOptions,
): AttachedExecution {
  // Whether it is left is not known yet, so it has the time of a call.
  const { timeoutMs = session.limits.execTimeoutS * 1000 } = options;
  const prepared = prepareExecution(session, program, { ...options, onEvent, timeoutMs }, true);
  const held = session.use();
  let isLeft = false;
  let spare: CalledResult['spare'] = [];
  const onCalled = (called: CalledResult) => {
    execution.called = called.result;
    spare = called.spare;
  };
  const run: BackgroundRun = (given, onBegin) =>
    runCode(session, prepared, { signal: given, onEvent, onBegin, onCalled }).finally(() => {
      access?.[Symbol.dispose]();
      held[Symbol.dispose]();
    });
  const { identity, access } = prepared;
  const execution = session.background.attach(identity.executionId, run, factsOf(prepared));
  const release = followCaller(execution, signal);
  return {
    id: execution.id,
    end: async (ms) => {
      if (ms === undefined) await execution.ended;
      else await execution.wait(ms);
      if (!execution.outcome) return undefined;
      const result = await execution.result;
      // Nobody waits for this, and what cannot be deleted counts as any old output.
      if (!isLeft) void Promise.all(spare.map((path) => session.files.delete(path))).catch(() => {});
      return execution.called ?? result;
    },
    leave: () => {
      if (!session.background.keep(execution)) return false;
      release();
      isLeft = true;
      session.recent.leave(execution.id);
      return true;
    },
    cancel: () => execution.cancel(),
  };
}

/** Cancels an execution with the call that it belongs to. Returns a function that ends this. */
function followCaller(execution: FollowedExecution, signal: AbortSignal): () => void {
  const cancel = () => execution.cancel();
  const release = () => signal.removeEventListener('abort', cancel);
  signal.addEventListener('abort', cancel, { once: true });
  if (signal.aborted) cancel();
  void execution.ended.then(release);
  return release;
}
