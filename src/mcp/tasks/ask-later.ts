import { type ElicitRequestFormParams, type McpServer, RELATED_TASK_META_KEY } from '@modelcontextprotocol/server';
import type { Elicit, Question } from '../../approvals/approvals.ts';
import type { Connection } from '../connection.ts';
import { decisionOf, ELICIT_LIMIT_MS, formOf } from '../elicitation.ts';
import type { TaskSource } from './task.ts';

/** Client of version 2025-11-25, which the server can send requests to. */
interface Client {
  readonly server: McpServer['server'];
  readonly connection: Connection;
  /** Questions that it is being asked. */
  readonly underway: Set<string>;
}

/** The way to ask the user of a client whose call becomes a task. */
export interface AskLater {
  readonly elicit?: Elicit;
  /** Resolves at the first question: the client is told of it by the task. */
  readonly sooner: Promise<void>;
  /** Tells whether the call has become a task. If not, its client cannot be asked. */
  decide(isTask: boolean): void;
}

export function askLater(source: TaskSource, client: Client | undefined): AskLater {
  const first = Promise.withResolvers<void>();
  const decided = Promise.withResolvers<boolean>();
  const parts = { sooner: first.promise, decide: decided.resolve };
  const { elicit: put } = source;
  if (!put) return parts;
  const elicit: Elicit = async (question, signal) => {
    first.resolve();
    if (!(await decided.promise)) return undefined;
    const answered = put(question, signal);
    if (!client || !isReachable(client.connection)) return await answered;
    return await Promise.race([answered, push(client, question, signal).then((decision) => decision ?? answered)]);
  };
  return { ...parts, elicit };
}

/** Whether a request that belongs to no other would arrive: clients over HTTP may have no stream for it. */
function isReachable({ streams }: Connection): boolean {
  return streams !== 0;
}

/** Asks the client at once, and not only when it waits for the result. Undefined if that was not possible. */
async function push({ server, underway }: Client, question: Question, signal: AbortSignal) {
  underway.add(question.id);
  try {
    const related = { _meta: { [RELATED_TASK_META_KEY]: { taskId: question.executionId } } };
    const params: ElicitRequestFormParams = { ...formOf(question), ...related };
    return decisionOf(await server.elicitInput(params, { signal, timeout: ELICIT_LIMIT_MS }));
  } catch {
    return undefined;
  } finally {
    underway.delete(question.id);
  }
}
