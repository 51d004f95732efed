import { GloveboxError, sayBegun } from '../errors.ts';
import { ExecutionClock } from '../execution/execution-clock.ts';
import { headOf, type Program, type ProgramKind } from '../execution/program.ts';
import type { ExecutionResult } from '../execution/result.ts';
import type { ClientTool, ClientToolAnswer, ClientTools } from '../execution/tool-access.ts';
import { Disposables } from '../lib/disposables.ts';
import { randomId } from '../lib/random-id.ts';
import { type CodeSession, type PreparingSession, prepareExecution, type RunOptions, runCode } from './run-code.ts';

/** Time for which an execution waits for its caller, and its result is kept for it, in milliseconds. */
const SILENCE_MS = 5 * 60_000;
/** Time in milliseconds after a question in which another one joins its round. */
const GATHER_MS = 20;
/** Questions of one round. */
const MOST_IN_ROUND = 50;
/** Rounds of one execution. */
const MOST_ROUNDS = 100;
/** Executions of one owner that run. */
const MOST_PER_OWNER = 16;
/** Results of one owner that are kept. */
const MOST_ENDED_PER_OWNER = 16;

/** What an execution waits for: a call of one of its caller's own tools. */
export interface Question {
  readonly kind: 'tool_call';
  readonly id: string;
  readonly name: string;
  readonly arguments: Readonly<Record<string, unknown>>;
}

/** Next thing that the caller of an execution must know. */
export type HeldState =
  | { readonly state: 'ended'; readonly result: ExecutionResult }
  | { readonly state: 'waiting'; readonly questions: readonly Question[] };

/** What became of an answer. `answered`: an earlier one was taken. `over`: nothing waits for it any more. */
export type AnswerOutcome = 'taken' | 'answered' | 'over' | 'unknown';

/** Code that runs for a caller whose call may return before it ends. */
export interface HeldExecution {
  readonly id: string;
  readonly owner: string;
  readonly sessionId: string;
  /** What it runs. */
  readonly kind: ProgramKind;
  /** Its end, whoever asks for it. Rejects if it could not run. */
  readonly ended: Promise<ExecutionResult>;
  /**
   * Waits for its end, or until it waits for its caller. Rejects with the reason of the signal, or if it could not run.
   * @param options `isNew`: until it waits for something that its caller has not been told of
   */
  next(signal: AbortSignal, options?: { readonly isNew?: boolean }): Promise<HeldState>;
  answer(questionId: string, answer: ClientToolAnswer): AnswerOutcome;
  /** Whether a question of that id was ever asked. */
  asked(questionId: string): boolean;
  cancel(): void;
}

/** Asks the caller of an execution to carry out a call of one of its own tools. */
export type AskCaller = ClientTools['call'];

/** Runs held code until the signal aborts. `ask` asks its caller. */
export type RunHeld = (signal: AbortSignal, ask: AskCaller) => Promise<ExecutionResult>;

/** Session in which held code runs. */
interface HoldingSession extends CodeSession, PreparingSession {
  use(): Disposable;
}

type HoldOptions = Omit<RunOptions, 'signal' | 'clock' | 'clientTools'>;

export interface HeldOptions {
  readonly silenceMs?: number;
}

type Identity = Pick<HeldExecution, 'id' | 'owner' | 'sessionId' | 'kind'>;

/** Executions whose callers come back for them. They are kept in memory: they end with this control plane. */
export class HeldExecutions {
  readonly #options: HeldOptions;
  /** The oldest first. */
  readonly #held = new Map<string, Held>();

  constructor(options: HeldOptions = {}) {
    this.#options = options;
  }

  /**
   * Runs code of a session whose caller comes back for its end, and answers meanwhile what the code asks of it.
   * @throws GloveboxError `invalid_input`; `capacity_exceeded` when too many of its owner run
   */
  hold(
    session: HoldingSession,
    program: Program,
    tools: readonly ClientTool[],
    options: HoldOptions = {},
  ): HeldExecution {
    using stack = new Disposables();
    stack.use(session.use());
    const clock = new ExecutionClock();
    const asker = Promise.withResolvers<AskCaller>();
    const call: AskCaller = async (...question) => {
      using _pause = clock.pause();
      return await (await asker.promise)(...question);
    };
    const prepared = prepareExecution(session, program, { ...options, clock, clientTools: { tools, call } }, false);
    if (prepared.access) stack.use(prepared.access);
    const { onEvent, stdin } = options;
    const { kind } = headOf(program, 0);
    const identity = { id: prepared.identity.executionId, owner: session.owner, sessionId: session.id, kind };
    return this.start(identity, (signal, ask) => {
      asker.resolve(ask);
      const used = stack.move();
      return runCode(session, prepared, { onEvent, stdin, signal }).finally(() => used[Symbol.dispose]());
    });
  }

  /** @throws GloveboxError `capacity_exceeded` when too many of its owner run */
  start(identity: Identity, run: RunHeld): HeldExecution {
    const { id, owner } = identity;
    this.#makeRoom(owner);
    const held = new Held(identity, run, this.#options.silenceMs ?? SILENCE_MS, () => this.#held.delete(id));
    this.#held.set(id, held);
    return held;
  }

  /** @throws GloveboxError `execution_not_found` if it is unknown, forgotten, or has another owner */
  get(owner: string, id: string): HeldExecution {
    const held = this.find(owner, id);
    if (held) return held;
    throw new GloveboxError(
      'execution_not_found',
      `No execution ${JSON.stringify(id.slice(0, 64))} waits for results.`,
      {
        hint: 'It ended more than five minutes ago, or the server was started anew meanwhile, which ended it. Run the code again.',
      },
    );
  }

  find(owner: string, id: string): HeldExecution | undefined {
    const held = this.#held.get(id);
    return held?.owner === owner ? held : undefined;
  }

  #makeRoom(owner: string): void {
    const own = [...this.#held.values()].filter((held) => held.owner === owner);
    const ended = own.filter(({ isEnded }) => isEnded);
    if (own.length - ended.length >= MOST_PER_OWNER) {
      throw new GloveboxError('capacity_exceeded', `${MOST_PER_OWNER} executions wait for their callers already.`, {
        hint: 'Send the results that they wait for, or cancel them (DELETE /executions/{id}).',
      });
    }
    for (const { id } of ended.slice(0, Math.max(0, ended.length - MOST_ENDED_PER_OWNER + 1))) this.#held.delete(id);
  }
}

interface Pending {
  readonly question: Question;
  readonly resolve: (answer: ClientToolAnswer) => void;
  /** Whether its caller has been told of it. */
  isTold: boolean;
}

class Held implements HeldExecution {
  readonly id: string;
  readonly owner: string;
  readonly sessionId: string;
  readonly kind: ProgramKind;
  readonly ended: Promise<ExecutionResult>;
  readonly #silenceMs: number;
  readonly #forget: () => void;
  readonly #controller = new AbortController();
  readonly #pending = new Map<string, Pending>();
  /** Ids of all questions, and whether they were answered. */
  readonly #asked = new Map<string, boolean>();
  #rounds = 0;
  #gathering: NodeJS.Timeout | undefined;
  #outcome: { readonly result: ExecutionResult } | { readonly error: unknown } | undefined;
  /** Resolves at the next change of what `next` looks at. */
  #change = Promise.withResolvers<void>();
  /** Number of calls that wait in `next`. */
  #listeners = 0;
  #silence: NodeJS.Timeout | undefined;

  constructor({ id, owner, sessionId, kind }: Identity, run: RunHeld, silenceMs: number, forget: () => void) {
    this.id = id;
    this.owner = owner;
    this.sessionId = sessionId;
    this.kind = kind;
    this.#silenceMs = silenceMs;
    this.#forget = forget;
    this.ended = run(this.#controller.signal, (...question) => this.#ask(...question));
    void this.#follow();
  }

  get isEnded(): boolean {
    return this.#outcome !== undefined;
  }

  async #follow(): Promise<void> {
    this.#outcome = await this.ended.then(
      (result) => ({ result }),
      (error: unknown) => ({ error }),
    );
    clearTimeout(this.#gathering);
    this.#tell();
  }

  async next(signal: AbortSignal, { isNew = false }: { readonly isNew?: boolean } = {}): Promise<HeldState> {
    const { promise: given, reject } = Promise.withResolvers<never>();
    const onAbort = () => reject(sayBegun(signal.reason, true));
    signal.addEventListener('abort', onAbort, { once: true });
    this.#listeners += 1;
    clearTimeout(this.#silence);
    try {
      for (;;) {
        if (signal.aborted) throw sayBegun(signal.reason, true);
        const state = this.#read(isNew);
        if (state) return state;
        await Promise.race([this.#change.promise, given]);
      }
    } finally {
      signal.removeEventListener('abort', onAbort);
      this.#listeners -= 1;
      this.#watchSilence();
    }
  }

  answer(questionId: string, answer: ClientToolAnswer): AnswerOutcome {
    const pending = this.#pending.get(questionId);
    if (pending) {
      this.#asked.set(questionId, true);
      this.#pending.delete(questionId);
      pending.resolve(answer);
      return 'taken';
    }
    const wasAnswered = this.#asked.get(questionId);
    return wasAnswered === undefined ? 'unknown' : wasAnswered ? 'answered' : 'over';
  }

  asked(questionId: string): boolean {
    return this.#asked.has(questionId);
  }

  cancel(): void {
    this.#controller.abort();
  }

  async #ask(name: string, args: Question['arguments'], signal: AbortSignal): Promise<ClientToolAnswer> {
    if (this.#rounds >= MOST_ROUNDS) return { refused: 'limit' };
    const id = `call_${randomId(9)}`;
    const { promise, resolve } = Promise.withResolvers<ClientToolAnswer>();
    const onAbort = () => resolve({ refused: 'client_gone' });
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
    this.#asked.set(id, false);
    this.#pending.set(id, { question: { kind: 'tool_call', id, name, arguments: args }, resolve, isTold: false });
    this.#gather();
    try {
      return await promise;
    } finally {
      this.#pending.delete(id);
      signal.removeEventListener('abort', onAbort);
    }
  }

  /** Waits for further questions, which are told together: each round costs its caller a request. */
  #gather(): void {
    clearTimeout(this.#gathering);
    const close = () => {
      this.#gathering = undefined;
      this.#tell();
    };
    if (this.#pending.size >= MOST_IN_ROUND) close();
    else this.#gathering = setTimeout(close, GATHER_MS);
  }

  #read(isNew: boolean): HeldState | undefined {
    const outcome = this.#outcome;
    if (outcome && 'error' in outcome) throw outcome.error;
    if (outcome) return { state: 'ended', result: outcome.result };
    if (this.#controller.signal.aborted) return undefined;
    if (this.#gathering !== undefined || this.#pending.size === 0) return undefined;
    const told = [...this.#pending.values()].slice(0, MOST_IN_ROUND);
    if (told.some(({ isTold }) => !isTold)) this.#rounds += 1;
    else if (isNew) return undefined;
    for (const pending of told) pending.isTold = true;
    return { state: 'waiting', questions: told.map(({ question }) => question) };
  }

  #tell(): void {
    this.#change.resolve();
    this.#change = Promise.withResolvers();
    this.#watchSilence();
  }

  /** Starts the time after which an execution that waits for a silent caller is ended, and its result forgotten. */
  #watchSilence(): void {
    clearTimeout(this.#silence);
    if (this.#listeners > 0) return;
    this.#silence = setTimeout(() => {
      if (this.isEnded) this.#forget();
      else if (this.#pending.size > 0) this.cancel();
    }, this.#silenceMs);
    this.#silence.unref();
  }
}
