import {
  type CallToolResult,
  isTaskAugmentedRequestParams,
  ProtocolError,
  ProtocolErrorCode,
  RELATED_TASK_META_KEY,
  type Server,
} from '@modelcontextprotocol/server';
import { isTerminal, type TaskCaller, type TaskSource, type TaskState } from './task.ts';

/** Tasks of version 2025-11-25, which a client asks for with each call. */

const EXPERIMENTAL_VERSION = '2025-11-25';
/** What a model may be told when the call of its tool has become a task. */
const IMMEDIATE_RESPONSE_META_KEY = 'io.modelcontextprotocol/model-immediate-response';
export const EXPERIMENTAL_CAPABILITY = { list: {}, cancel: {}, requests: { tools: { call: {} } } };
/** Tasks of one answer to `tasks/list`. */
const PAGE = 100;

export function isExperimental(protocolVersion: string | undefined): boolean {
  return protocolVersion === EXPERIMENTAL_VERSION;
}

/** Whether a client has said in its handshake that it knows tasks. */
export function knowsTasks(server: Server): boolean {
  return isExperimental(server.getNegotiatedProtocolVersion()) && server.getClientCapabilities()?.tasks !== undefined;
}

/** Whether a call is to be a task. */
export function asksForTask(params: unknown, protocolVersion: string | undefined): boolean {
  return isExperimental(protocolVersion) && isTaskAugmentedRequestParams(params) && params.task !== undefined;
}

/** The answer to a call that is a task. */
export function toCreated(state: TaskState) {
  const told = `It runs as task ${state.id}, whose result comes later.`;
  const meta = isTerminal(state.status) ? {} : { _meta: { [IMMEDIATE_RESPONSE_META_KEY]: told } };
  return { task: toTask(state), ...meta };
}

/** A task as this version has it: there, one whose tool reports an error has failed. */
export function toTask({ id, status, isError, message, createdAt, updatedAt, ttlMs, pollMs }: TaskState) {
  return {
    taskId: id,
    status: isError ? ('failed' as const) : status,
    statusMessage: message,
    createdAt: createdAt.toISOString(),
    lastUpdatedAt: updatedAt.toISOString(),
    ttl: ttlMs,
    pollInterval: pollMs,
  };
}

/** The answer to `tasks/result`: that of the call, when the task has ended. */
export async function awaitResult(
  source: TaskSource,
  caller: TaskCaller,
  taskId: string,
  ask: (state: TaskState) => Promise<void>,
): Promise<CallToolResult> {
  for (;;) {
    const state = await source.get(caller, taskId);
    if (isTerminal(state.status)) break;
    if (state.status === 'input_required') await ask(state);
    else await source.next(caller, taskId);
  }
  const outcome = await source.outcome(caller, taskId);
  if ('error' in outcome) throw new ProtocolError(outcome.error.code, outcome.error.message);
  const { result } = outcome;
  return { ...result, _meta: { ...result._meta, [RELATED_TASK_META_KEY]: { taskId } } };
}

/** Cancels a task, and answers when it has ended. @throws ProtocolError when it had ended by itself */
export async function cancelNow(source: TaskSource, caller: TaskCaller, taskId: string) {
  const before = await source.get(caller, taskId);
  if (!isTerminal(before.status)) {
    await source.cancel(caller, taskId);
    const after = await source.get(caller, taskId);
    if (after.status === 'cancelled') return toTask(after);
  }
  throw new ProtocolError(ProtocolErrorCode.InvalidParams, `The task ${JSON.stringify(taskId)} has ended already.`);
}

/** One page of an owner's tasks. A cursor is the id of the last task of the page before. */
export async function listPage(source: TaskSource, caller: TaskCaller, cursor: string | undefined) {
  const all = await source.list(caller);
  const last = cursor === undefined ? -1 : all.findIndex(({ id }) => id === cursor);
  if (cursor !== undefined && last < 0)
    throw new ProtocolError(
      ProtocolErrorCode.InvalidParams,
      'That cursor is unknown. List the tasks from the first page.',
    );
  const page = all.slice(last + 1, last + 1 + PAGE);
  const isLast = last + 1 + PAGE >= all.length;
  return { tasks: page.map(toTask), ...(isLast ? {} : { nextCursor: page.at(-1)?.id }) };
}
