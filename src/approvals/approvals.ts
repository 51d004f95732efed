import { GloveboxError } from '../errors.ts';
import type { Log } from '../log.ts';
import { type ApprovalAnswer, type ApprovalRequest, type Decision, makeQuestion, type Question } from './question.ts';

export type { Decision, Question } from './question.ts';

/** Longest wait for an answer, in milliseconds. */
const LIMIT_MS = 600_000;
/** Questions of one owner that may wait at once, and of all owners. */
const MOST_PER_OWNER = 100;
const MOST = 2000;
/** Questions that are over, and are remembered to tell a late answer so. */
const MOST_OVER = 2000;
/** Sessions whose answers are remembered. */
const MOST_SESSIONS = 10_000;

/** How a question ended, if it was not answered. `ended`: the code that waited for it has ended. */
export type Outcome = ApprovalAnswer | 'ended';

/**
 * Puts a question to the user of a client. Undefined if the user cannot be asked after all. The signal aborts when the
 * question is over.
 */
export type Elicit = (question: Question, signal: AbortSignal) => Promise<Decision | undefined>;

/** Ways to a person that belong to one call. They are put together where the call comes in. */
export interface ApprovalChannels {
  readonly elicit?: Elicit | undefined;
  /** Called when a question waits for a person, to tell the caller so. */
  readonly onAsked?: ((question: Question) => void) | undefined;
}

/** Clock of what waits. */
interface Clock {
  pause(): Disposable;
}

/** Person who answers. */
export interface Answerer {
  readonly name: string;
  /** Owner whose questions it may answer. Default: everybody's. */
  readonly owner?: string | undefined;
}

/** Part of the questions that wait. */
export interface QuestionFilter {
  readonly owner?: string | undefined;
  readonly executionId?: string | undefined;
}

/** People who answer with `decide`. */
export interface Desk {
  /** Whether somebody could answer the questions of an owner. */
  mayAnswer(owner: string): boolean;
  /** Tells them of a question that waits for them. */
  notify?(question: Question): void;
}

/** Told of each question when it is asked, and when it is over. */
export type QuestionListener = (question: Question, outcome?: Outcome) => void;

interface Pending {
  readonly question: Question;
  /** Key of what an answer for the whole session applies to. */
  readonly about: string;
  settle(outcome: Outcome, by?: string): void;
}

interface Over {
  readonly question: Question;
  readonly outcome: Outcome;
  readonly by: string | undefined;
}

export interface ApprovalsOptions {
  readonly log: Log;
  /** Longest wait for an answer, in milliseconds. Default: ten minutes. */
  readonly limitMs?: number;
}

/**
 * Questions to people, whether code may call a tool. Whoever answers first decides. They are kept in memory: with this
 * control plane end the calls that wait for them.
 */
export class Approvals {
  readonly #options: ApprovalsOptions;
  readonly #pending = new Map<string, Pending>();
  /** The oldest first. */
  readonly #over = new Map<string, Over>();
  /** What was approved for a whole session, by session. */
  readonly #approved = new Map<string, Set<string>>();
  readonly #listeners = new Set<QuestionListener>();
  #desk: Desk = { mayAnswer: () => false };

  constructor(options: ApprovalsOptions) {
    this.#options = options;
  }

  /** Sets who answers questions with `decide`. Default: nobody. */
  answerWith(desk: Desk): void {
    this.#desk = desk;
  }

  watch(listener: QuestionListener): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  /**
   * Asks a person, and waits for the answer, while the clock stands still. Resolves at once if there is nobody to ask.
   * @param signal aborts when the call is no longer to be made
   */
  async ask(
    request: ApprovalRequest,
    channels: ApprovalChannels,
    { signal, clock }: { readonly signal: AbortSignal; readonly clock?: Clock | undefined },
  ): Promise<ApprovalAnswer> {
    const { owner } = request.caller;
    if (signal.aborted) return 'refused';
    const about = aboutOf(request);
    if (request.mode === 'writes' && !request.changed && this.#approved.get(sessionOf(request.caller))?.has(about)) {
      return 'session';
    }
    const question = makeQuestion(request, this.#limitMs);
    if (!question) return 'refused';
    const { log } = this.#options;
    if (!(channels.elicit || this.#desk.mayAnswer(owner)) || this.#isFull(owner)) {
      log.info('approval impossible', aboutForLog(question));
      return 'unavailable';
    }
    using _pause = clock?.pause();
    const outcome = await this.#wait(question, about, channels, signal);
    return outcome === 'ended' ? 'refused' : outcome;
  }

  /** Whether a question was asked here, and waits or has been answered of late. */
  has(id: string): boolean {
    return this.#pending.has(id) || this.#over.has(id);
  }

  /** Questions that wait, the oldest first. */
  pending({ owner, executionId }: QuestionFilter = {}): readonly Question[] {
    return [...this.#pending.values()]
      .map(({ question }) => question)
      .filter((question) => owner === undefined || question.owner === owner)
      .filter((question) => executionId === undefined || question.executionId === executionId);
  }

  /**
   * Answers a question.
   * @throws GloveboxError `approval_not_found`; `approval_over` if it is answered or over already; `invalid_input` if it
   *   takes no such answer
   */
  decide(id: string, decision: Decision, { name, owner }: Answerer): Question {
    const pending = this.#pending.get(id);
    const over = this.#over.get(id);
    const { question } = pending ?? over ?? {};
    if (!question || (owner !== undefined && question.owner !== owner)) throw notFound(id);
    if (over) throw isOver(over);
    if (!question.answers.includes(decision)) {
      throw new GloveboxError('invalid_input', `This question does not take the answer "${decision}".`, {
        hint: `It takes: ${question.answers.join(', ')}. Each call of this tool is asked for.`,
      });
    }
    pending?.settle(outcomeOf(decision), name);
    return question;
  }

  /** Forgets what was approved for a session: it is new, or goes on in another sandbox. */
  forget(session: { readonly owner: string; readonly id: string }): void {
    this.#approved.delete(sessionOf({ owner: session.owner, sessionId: session.id }));
  }

  get #limitMs(): number {
    return this.#options.limitMs ?? LIMIT_MS;
  }

  #isFull(owner: string): boolean {
    return this.#pending.size >= MOST || this.pending({ owner }).length >= MOST_PER_OWNER;
  }

  async #wait(
    question: Question,
    about: string,
    { elicit, onAsked }: ApprovalChannels,
    signal: AbortSignal,
  ): Promise<Outcome> {
    const { promise, resolve } = Promise.withResolvers<Outcome>();
    const isOver = new AbortController();
    const settle = (outcome: Outcome, by?: string) => {
      if (!this.#pending.delete(question.id)) return;
      this.#end({ question, outcome, by });
      if (outcome === 'session') this.#approve(question, about, by);
      isOver.abort();
      resolve(outcome);
    };
    const onAbort = () => settle('ended');
    const timer = setTimeout(settle, this.#limitMs, 'timed_out');
    signal.addEventListener('abort', onAbort, { once: true });
    this.#pending.set(question.id, { question, about, settle });
    this.#options.log.info('approval asked', aboutForLog(question));
    this.#tell(question);
    onAsked?.(question);
    if (elicit) void this.#elicit(question, elicit, isOver.signal);
    else this.#desk.notify?.(question);
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
    }
  }

  /** Puts a question to the user of the client. Where that is impossible, others may still answer. */
  async #elicit(question: Question, elicit: Elicit, signal: AbortSignal): Promise<void> {
    const decision = await elicit(question, signal).catch((error: unknown) => {
      if (!signal.aborted) this.#options.log.warn('a client could not ask its user', { id: question.id, error });
      return undefined;
    });
    const pending = this.#pending.get(question.id);
    if (decision) pending?.settle(outcomeOf(decision), 'the user of the client');
    else if (!this.#desk.mayAnswer(question.owner)) pending?.settle('unavailable');
    else if (pending) this.#desk.notify?.(question);
  }

  /** Remembers an answer for the whole session, and gives it to the other questions that it answers. */
  #approve(question: Question, about: string, by: string | undefined): void {
    const session = sessionOf(question);
    const approved = this.#approved.get(session) ?? new Set();
    this.#approved.delete(session);
    this.#approved.set(session, approved.add(about));
    const [oldest] = this.#approved.keys();
    if (this.#approved.size > MOST_SESSIONS && oldest !== undefined) this.#approved.delete(oldest);
    for (const { question: other, about: aboutOther, settle } of [...this.#pending.values()]) {
      if (aboutOther !== about || sessionOf(other) !== session) continue;
      if (other.mode === 'writes' && other.changed === question.changed) settle('session', by);
    }
  }

  #end(over: Over): void {
    const { question, outcome, by } = over;
    this.#over.set(question.id, over);
    const [oldest] = this.#over.keys();
    if (this.#over.size > MOST_OVER && oldest !== undefined) this.#over.delete(oldest);
    const ms = Date.now() - question.askedAt.getTime();
    this.#options.log.info('approval over', { ...aboutForLog(question), outcome, ...(by ? { by } : {}), ms });
    this.#tell(question, outcome);
  }

  #tell(question: Question, outcome?: Outcome): void {
    for (const listener of this.#listeners) listener(question, outcome);
  }
}

function outcomeOf(decision: Decision): Outcome {
  return decision === 'refuse' ? 'refused' : decision;
}

function aboutOf({ server, tool }: ApprovalRequest): string {
  return JSON.stringify([server, tool]);
}

function sessionOf({ owner, sessionId }: { readonly owner: string; readonly sessionId: string }): string {
  return JSON.stringify([owner, sessionId]);
}

/** The arguments are for people, not for logs. */
function aboutForLog({ id, owner, sessionId, executionId, server, tool, mode }: Question) {
  return { id, owner, session: sessionId, execution: executionId, tool: `${server}.${tool}`, mode };
}

function notFound(id: string): GloveboxError {
  return new GloveboxError('approval_not_found', `There is no question ${JSON.stringify(id.slice(0, 64))}.`);
}

const ENDS: Readonly<Record<Outcome, string>> = {
  once: 'was approved, once',
  session: 'was approved for its session',
  refused: 'was refused',
  timed_out: 'was not answered in time, and so refused',
  unavailable: 'could be put to nobody, and so was refused',
  ended: 'is over: the code that asked it has ended',
};

function isOver({ question, outcome, by }: Over): GloveboxError {
  const who = by ? ` by ${by}` : '';
  return new GloveboxError('approval_over', `The question ${question.id} ${ENDS[outcome]}${who}.`);
}
