import type { Program } from '../../execution/program.ts';
import { Disposables } from '../../lib/disposables.ts';
import type { BackgroundExecution } from '../background-execution.ts';
import type { BackgroundExecutions } from '../background-executions.ts';
import { type CodeSession, factsOf, prepareExecution, runCode, type StartOptions } from '../run-code.ts';

/** Part of a session that is needed to start programs in the background. */
export interface BackgroundSession extends CodeSession {
  readonly background: Pick<BackgroundExecutions, 'start' | 'record'>;
  /** Resolves when what has changed of it is written down for the next control plane. */
  recorded(): Promise<void>;
  use(): Disposable;
}

/** Starts a program in the background, see `Session.start`. */
export async function startInBackground(
  session: BackgroundSession,
  program: Program,
  options: StartOptions,
): Promise<BackgroundExecution> {
  using stack = new Disposables();
  stack.use(session.use());
  const prepared = prepareExecution(session, program, options, true);
  if (prepared.access) stack.use(prepared.access);
  const { promise: placed, resolve } = Promise.withResolvers<void>();
  const run = (signal: AbortSignal, onBegin: () => void) => {
    const held = stack.move();
    const follower = { signal, onBegin, onQueued: resolve, onSent: resolve };
    return runCode(session, prepared, follower).finally(() => held[Symbol.dispose]());
  };
  const execution = session.background.start(prepared.identity.executionId, run, factsOf(prepared));
  await Promise.race([placed, execution.ended]);
  await session.recorded();
  return execution;
}
