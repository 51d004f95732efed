import { type InputRequests, inputRequired } from '@modelcontextprotocol/server';
import type { Decision, Elicit, Question } from '../../approvals/approvals.ts';
import { decisionOf, formOf } from '../elicitation.ts';

interface Waiting {
  readonly question: Question;
  readonly resolve: (decision: Decision | undefined) => void;
}

/**
 * Questions of tasks to the users of their clients, which ask for them and answer in requests of their own. They are kept
 * in memory: with this control plane end the calls that wait for them.
 */
export class TaskQuestions {
  /** By execution, then by question. */
  readonly #waiting = new Map<string, Map<string, Waiting>>();
  /** Resolved at the next change of any question. */
  #change = Promise.withResolvers<void>();

  /** Asks, and waits for the answer. Undefined when the question is over before. */
  readonly elicit: Elicit = async (question, signal) => {
    if (signal.aborted) return undefined;
    const { id, executionId } = question;
    const { promise, resolve } = Promise.withResolvers<Decision | undefined>();
    const onOver = () => resolve(undefined);
    signal.addEventListener('abort', onOver, { once: true });
    const others = this.#waiting.get(executionId) ?? new Map<string, Waiting>();
    this.#waiting.set(executionId, others.set(id, { question, resolve }));
    this.#tell();
    try {
      return await promise;
    } finally {
      signal.removeEventListener('abort', onOver);
      others.delete(id);
      if (others.size === 0) this.#waiting.delete(executionId);
      this.#tell();
    }
  };

  /** Resolves when a question is asked or over. */
  get changed(): Promise<void> {
    return this.#change.promise;
  }

  /** What an execution asks, in the form for its client. Undefined if it asks nothing. */
  of(executionId: string): InputRequests | undefined {
    const waiting = this.#waiting.get(executionId);
    if (!waiting) return undefined;
    return Object.fromEntries(
      [...waiting].map(([id, { question }]) => [id, inputRequired.elicit(formOf(question))] as const),
    );
  }

  /** Answers questions of an execution. Answers to others are ignored. */
  answer(executionId: string, responses: Readonly<Record<string, unknown>>): void {
    const waiting = this.#waiting.get(executionId);
    for (const [id, response] of Object.entries(responses)) waiting?.get(id)?.resolve(decisionOf(response));
  }

  #tell(): void {
    this.#change.resolve();
    this.#change = Promise.withResolvers();
  }
}
