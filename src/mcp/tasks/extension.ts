import {
  CLIENT_CAPABILITIES_META_KEY,
  type InputResponses,
  MissingRequiredClientCapabilityError,
  ProtocolError,
  ProtocolErrorCode,
  type ServerContext,
} from '@modelcontextprotocol/server';
import { z } from 'zod';
import { isTerminal, type TaskCaller, type TaskSource, type TaskState } from './task.ts';

/** Tasks of version 2026-07-28: the extension of SEP-2663, which a client names with each request. */

const TASKS_EXTENSION = 'io.modelcontextprotocol/tasks';
export const EXTENSION_CAPABILITY = { [TASKS_EXTENSION]: {} };
/** Oldest protocol version that has extensions. */
const EXTENSION_SINCE = '2026-07-28';

const declared = z.object({
  [CLIENT_CAPABILITIES_META_KEY]: z.object({ extensions: z.object({ [TASKS_EXTENSION]: z.object({}) }) }),
});
export const taskIdParams = z.looseObject({ taskId: z.string().max(256) });

export function isModern(protocolVersion: string | undefined): boolean {
  return protocolVersion !== undefined && protocolVersion >= EXTENSION_SINCE;
}

/** Whether the client of a request can follow tasks. */
export function followsTasks({ mcpReq }: ServerContext): boolean {
  return declared.safeParse(mcpReq.envelope).success;
}

/** @throws MissingRequiredClientCapabilityError for a client that has not named the extension */
export function requireExtension(context: ServerContext): void {
  if (!followsTasks(context))
    throw new MissingRequiredClientCapabilityError({ requiredCapabilities: { extensions: EXTENSION_CAPABILITY } });
}

/** The answer to a call that goes on as a task. */
export function toCreated(state: TaskState) {
  return { resultType: 'task' as const, ...toTask(state) };
}

/** The answer to `tasks/get`. */
export async function getDetailed(source: TaskSource, caller: TaskCaller, taskId: string) {
  const state = await source.get(caller, taskId);
  const task = toTask(state);
  const { inputRequests } = state;
  if (state.status === 'input_required' && inputRequests) return { ...task, inputRequests };
  if (state.status === 'completed' || state.status === 'failed')
    return { ...task, ...(await source.outcome(caller, taskId)) };
  return task;
}

/** Asks for the end of a task, and does not wait for it. */
export async function requestCancel(
  source: TaskSource,
  caller: TaskCaller,
  taskId: string,
): Promise<Record<string, never>> {
  const { status } = await source.get(caller, taskId);
  // The request is over when it is answered, which must not end the wait of another.
  if (!isTerminal(status))
    void source.cancel({ ...caller, signal: new AbortController().signal }, taskId).catch(() => {});
  return {};
}

/** @throws ProtocolError when there are no answers */
export async function answerQuestions(
  source: TaskSource,
  caller: TaskCaller,
  taskId: string,
  responses: Record<string, unknown> | undefined,
): Promise<Record<string, never>> {
  if (!responses) throw new ProtocolError(ProtocolErrorCode.InvalidParams, 'inputResponses is required.');
  await source.answer(caller, taskId, responses as InputResponses);
  return {};
}

function toTask({ id, status, message, createdAt, updatedAt, ttlMs, pollMs }: TaskState) {
  return {
    taskId: id,
    status,
    statusMessage: message,
    createdAt: createdAt.toISOString(),
    lastUpdatedAt: updatedAt.toISOString(),
    ttlMs,
    pollIntervalMs: pollMs,
  };
}
