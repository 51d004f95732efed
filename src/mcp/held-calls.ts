import type { Decision, Elicit, Question } from '../approvals/approvals.ts';
import { GloveboxError } from '../errors.ts';
import { randomId } from '../lib/random-id.ts';
import type { ToolEvent, ToolOutput } from '../tools/tool.ts';

/** Time for which the output of a call is kept for a client that has not come back, in milliseconds. */
const KEEP_MS = 300_000;
/** Time after a question in which another one joins it, in milliseconds. */
const GATHER_MS = 20;
/** Calls of one owner that may be held at once, and those of them that have ended. */
const MOST_PER_OWNER = 64;
const MOST_ENDED_PER_OWNER = 16;

/** What the client of a held call is told next: its output, or what its user is asked. */
export type Next = { readonly output: ToolOutput } | { readonly questions: readonly Question[] };

/** Runs a call until the signal aborts. */
export type RunCall = (
  elicit: Elicit | undefined,
  emit: (event: ToolEvent) => void,
  signal: AbortSignal,
) => Promise<ToolOutput>;

interface Asked {
  readonly question: Question;
  readonly resolve: (decision: Decision) => void;
}

/** A client that waits for what comes next. */
interface Follower {
  readonly signal: AbortSignal;
  readonly emit: (event: ToolEvent) => void;
}

/**
 * Call whose client comes back with the answers of its user. Meanwhile its code waits, and nothing of it runs twice. While
 * a client waits for it, it ends with its last client, as any call does.
 */
export class HeldCall {
  readonly id = randomId(18);
  readonly owner: string;
  readonly tool: string;
  readonly #controller = new AbortController();
  readonly #onEnd: () => void;
  readonly #asked = new Map<string, Asked>();
  readonly #followers = new Set<Follower>();
  #gathering: NodeJS.Timeout | undefined;
  #hasAsked = false;
  #outcome: { readonly output: ToolOutput } | { readonly error: unknown } | undefined;
  /** Resolves at the next change of what `next` looks at. */
  #change = Promise.withResolvers<void>();

  constructor(owner: string, tool: string, onEnd: () => void) {
    this.owner = owner;
    this.tool = tool;
    this.#onEnd = onEnd;
  }

  run(run: RunCall, mayAsk: boolean): void {
    const emit = (event: ToolEvent) => {
      for (const follower of this.#followers) follower.emit(event);
    };
    // Once its client waits, which is to be told all that happens.
    void Promise.resolve()
      .then(() => run(mayAsk ? this.#elicit : undefined, emit, this.#controller.signal))
      .then(
        (output) => ({ output }),
        (error: unknown) => ({ error }),
      )
      .then((outcome) => {
        this.#outcome = outcome;
        this.#onEnd();
        this.#tell();
      });
  }

  /** Whether its client has been told to come back. */
  get hasAsked(): boolean {
    return this.#hasAsked;
  }

  get isEnded(): boolean {
    return this.#outcome !== undefined;
  }

  /** Answers a question. It changes nothing if that has an answer already, or never was. */
  answer(questionId: string, decision: Decision): void {
    const asked = this.#asked.get(questionId);
    this.#asked.delete(questionId);
    asked?.resolve(decision);
  }

  /** Waits for what the client is told next. When the last client that waits goes away, the call is cancelled. */
  async next(follower: Follower): Promise<Next> {
    const { signal } = follower;
    const gone = Promise.withResolvers<void>();
    const onAbort = () => gone.resolve();
    signal.addEventListener('abort', onAbort, { once: true });
    this.#followers.add(follower);
    try {
      while (!signal.aborted) {
        const next = this.#read();
        if (next) return next;
        await Promise.race([this.#change.promise, gone.promise]);
      }
      if (this.#followers.size === 1) this.#controller.abort(signal.reason);
      throw signal.reason;
    } finally {
      this.#followers.delete(follower);
      signal.removeEventListener('abort', onAbort);
    }
  }

  readonly #elicit: Elicit = async (question, signal) => {
    const { promise, resolve } = Promise.withResolvers<Decision | undefined>();
    const onOver = () => {
      this.#asked.delete(question.id);
      resolve(undefined);
    };
    signal.addEventListener('abort', onOver, { once: true });
    this.#asked.set(question.id, { question, resolve });
    clearTimeout(this.#gathering);
    this.#gathering = setTimeout(() => {
      this.#gathering = undefined;
      this.#tell();
    }, GATHER_MS);
    return await promise.finally(() => signal.removeEventListener('abort', onOver));
  };

  #read(): Next | undefined {
    const outcome = this.#outcome;
    if (outcome && 'error' in outcome) throw outcome.error;
    if (outcome) return outcome;
    if (this.#gathering !== undefined || this.#asked.size === 0) return undefined;
    this.#hasAsked = true;
    return { questions: [...this.#asked.values()].map(({ question }) => question) };
  }

  #tell(): void {
    this.#change.resolve();
    this.#change = Promise.withResolvers();
  }
}

/** Calls whose clients come back. They are kept in memory: they end with this control plane. */
export class HeldCalls {
  /** The oldest first. */
  readonly #calls = new Map<string, HeldCall>();

  /** Starts a call. Where its owner has too many, its user is not asked. */
  start(owner: string, tool: string, run: RunCall): HeldCall {
    const call: HeldCall = new HeldCall(owner, tool, () => this.#end(call));
    const mayAsk = this.#of(owner).length < MOST_PER_OWNER;
    if (mayAsk) this.#calls.set(call.id, call);
    call.run(run, mayAsk);
    return call;
  }

  /** @throws GloveboxError `execution_not_found` if it is unknown, forgotten, or another's */
  get(id: string | undefined, owner: string, tool: string): HeldCall {
    const call = id === undefined ? undefined : this.#calls.get(id);
    if (call?.owner === owner && call.tool === tool) return call;
    throw new GloveboxError('execution_not_found', 'No call waits for this answer any more.', {
      hint: 'It has ended, or the server was started anew meanwhile, which ended it. Look at what it has done, then call again.',
    });
  }

  /** Keeps the output for a client that has been told to come back, and whose connection may break. */
  #end(call: HeldCall): void {
    if (!call.hasAsked) {
      this.#calls.delete(call.id);
      return;
    }
    const ended = this.#of(call.owner).filter(({ isEnded }) => isEnded);
    for (const { id } of ended.slice(0, -MOST_ENDED_PER_OWNER)) this.#calls.delete(id);
    setTimeout(() => this.#calls.delete(call.id), KEEP_MS).unref();
  }

  #of(owner: string): HeldCall[] {
    return [...this.#calls.values()].filter((call) => call.owner === owner);
  }
}
