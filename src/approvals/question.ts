import { randomId } from '../lib/random-id.ts';
import { type JsonObject, shortName, showArguments } from './shown-arguments.ts';

/** What a person may answer. `session`: this call, and later ones of the same tool in the same session. */
export type Decision = 'once' | 'session' | 'refuse';

/** What became of a question. `unavailable`: there is nobody who could be asked. */
export type ApprovalAnswer = 'once' | 'session' | 'refused' | 'timed_out' | 'unavailable';

/** Call of a tool that a person is to approve. */
export interface ApprovalRequest {
  /** Whose code makes the call, and where it runs. */
  readonly caller: { readonly owner: string; readonly sessionId: string; readonly executionId: string };
  readonly server: string;
  readonly tool: string;
  readonly arguments: JsonObject;
  /** `always`: each call is asked for, and no earlier answer counts. */
  readonly mode: 'writes' | 'always';
  /** Whether the server has changed the tool since it was first seen. No earlier answer counts then either. */
  readonly changed?: boolean | undefined;
}

/** Question to a person. Its texts come from code that nobody trusts: they are short, and hide and reorder nothing. */
export interface Question {
  readonly id: string;
  readonly owner: string;
  readonly sessionId: string;
  readonly executionId: string;
  readonly server: string;
  readonly tool: string;
  /** JSON of the arguments, in which long values are cut. */
  readonly arguments: string;
  /** Size of the whole arguments as JSON, in bytes, if they are cut. */
  readonly argumentsBytes?: number | undefined;
  readonly mode: ApprovalRequest['mode'];
  readonly changed: boolean;
  /** Answers that it takes. */
  readonly answers: readonly Decision[];
  readonly askedAt: Date;
  readonly expiresAt: Date;
}

/** Makes a question. Undefined if its arguments cannot be shown, so that nobody could know what they approve. */
export function makeQuestion(request: ApprovalRequest, limitMs: number): Question | undefined {
  const { caller, server, tool, mode, changed = false } = request;
  const shown = showArguments(request.arguments);
  if (!shown) return undefined;
  const now = Date.now();
  return {
    id: `apr_${randomId(12)}`,
    owner: caller.owner,
    sessionId: caller.sessionId,
    executionId: caller.executionId,
    server: shortName(server),
    tool: shortName(tool),
    arguments: shown.text,
    ...(shown.isCut ? { argumentsBytes: shown.bytes } : {}),
    mode,
    changed,
    answers: mode === 'always' ? ['once', 'refuse'] : ['once', 'session', 'refuse'],
    askedAt: new Date(now),
    expiresAt: new Date(now + limitMs),
  };
}

/** A question as people and programs get it. */
export function describeQuestion(question: Question) {
  return {
    approval_id: question.id,
    owner: question.owner,
    session_id: question.sessionId,
    execution_id: question.executionId,
    server: question.server,
    tool: question.tool,
    arguments: question.arguments,
    arguments_bytes: question.argumentsBytes,
    mode: question.mode,
    changed: question.changed,
    answers: question.answers,
    asked_at: question.askedAt.toISOString(),
    expires_at: question.expiresAt.toISOString(),
  };
}
