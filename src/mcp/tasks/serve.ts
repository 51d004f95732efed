import {
  type ElicitRequestFormParams,
  type McpServer,
  ProtocolError,
  ProtocolErrorCode,
  RELATED_TASK_META_KEY,
  type Result,
  type ServerCapabilities,
  type ServerContext,
} from '@modelcontextprotocol/server';
import { z } from 'zod';
import { type GloveboxError, toGloveboxError } from '../../errors.ts';
import type { Connection } from '../connection.ts';
import { ELICIT_LIMIT_MS } from '../elicitation.ts';
import { withoutEmptyContent } from './created-result.ts';
import * as experimental from './experimental.ts';
import * as extension from './extension.ts';
import type { TaskCaller, TaskSource, TaskState } from './task.ts';

type Server = McpServer['server'];

/** Adds the methods of both spellings of tasks to a server, each for the clients of its version of the protocol. */
export function serveTasks(server: Server, source: TaskSource, { owner }: Connection, underway: Set<string>): void {
  declareTasks(server);
  withoutEmptyContent(server);
  const callerOf = ({ mcpReq }: ServerContext): TaskCaller => ({
    owner,
    protocolVersion: server.getNegotiatedProtocolVersion(),
    signal: mcpReq.signal,
  });
  const { taskIdParams } = extension;
  server.setRequestHandler('tasks/get', { params: taskIdParams }, async ({ taskId }, context) => {
    const caller = callerOf(context);
    return await answer(context, caller, {
      modern: () => extension.getDetailed(source, caller, taskId),
      experimental: async () => experimental.toTask(await source.get(caller, taskId)),
    });
  });
  server.setRequestHandler('tasks/cancel', { params: taskIdParams }, async ({ taskId }, context) => {
    const caller = callerOf(context);
    return await answer(context, caller, {
      modern: () => extension.requestCancel(source, caller, taskId),
      experimental: () => experimental.cancelNow(source, caller, taskId),
    });
  });
  server.setRequestHandler('tasks/update', { params: taskIdParams }, async ({ taskId }, context) => {
    const caller = callerOf(context);
    const { inputResponses } = context.mcpReq;
    return await answer(context, caller, {
      modern: () => extension.answerQuestions(source, caller, taskId, inputResponses),
    });
  });
  server.setRequestHandler('tasks/result', { params: taskIdParams }, async ({ taskId }, context) => {
    const caller = callerOf(context);
    const ask = (state: TaskState) => askClient({ server, source, caller, underway }, state, context);
    return await answer(context, caller, {
      experimental: () => experimental.awaitResult(source, caller, taskId, ask),
    });
  });
  const listParams = z.looseObject({ cursor: z.string().max(256).optional() });
  server.setRequestHandler('tasks/list', { params: listParams }, async ({ cursor }, context) => {
    const caller = callerOf(context);
    return await answer(context, caller, { experimental: () => experimental.listPage(source, caller, cursor) });
  });
}

/** Tells clients of version 2026-07-28 of the extension, and others only if they have said that they know tasks. */
function declareTasks(server: Server): void {
  const others = server.getCapabilities.bind(server);
  server.getCapabilities = (): ServerCapabilities => {
    const capabilities = others();
    const version = server.getNegotiatedProtocolVersion();
    if (version === undefined || extension.isModern(version)) {
      return { ...capabilities, extensions: { ...capabilities.extensions, ...extension.EXTENSION_CAPABILITY } };
    }
    return experimental.knowsTasks(server)
      ? { ...capabilities, tasks: experimental.EXPERIMENTAL_CAPABILITY }
      : capabilities;
  };
}

/** Answers in the spelling of the client. @throws ProtocolError when there is no such method, or no such task */
async function answer(
  context: ServerContext,
  { protocolVersion }: TaskCaller,
  by: { readonly modern?: () => Promise<Result>; readonly experimental?: () => Promise<Result> },
): Promise<Result> {
  try {
    if (extension.isModern(protocolVersion)) {
      if (!by.modern) throw methodNotFound();
      extension.requireExtension(context);
      return await by.modern();
    }
    if (!by.experimental || !experimental.isExperimental(protocolVersion)) throw methodNotFound();
    return await by.experimental();
  } catch (thrown) {
    throw thrown instanceof ProtocolError ? thrown : toProtocolError(toGloveboxError(thrown));
  }
}

function methodNotFound(): ProtocolError {
  return new ProtocolError(ProtocolErrorCode.MethodNotFound, 'Method not found');
}

function toProtocolError(error: GloveboxError): ProtocolError {
  if (error.code === 'execution_not_found') {
    return new ProtocolError(
      ProtocolErrorCode.InvalidParams,
      'There is no such task. It ended with its session, or is so old that its result is no longer kept. Call the tool again.',
    );
  }
  if (error.code === 'session_moved') {
    // The next request of this connection would be told the same.
    const next = 'The task goes on there. get_execution with its id, as execution_id, tells of it here, too.';
    return new ProtocolError(ProtocolErrorCode.InternalError, `${error.message}\n${next}`, error.toBody());
  }
  const { code, message, hint } = error.toBody();
  const isOwnFault = code === 'internal_error' || code === 'engine_unavailable' || code === 'sandbox_lost';
  return new ProtocolError(
    isOwnFault ? ProtocolErrorCode.InternalError : ProtocolErrorCode.InvalidParams,
    `${message}\n${hint}`,
    error.toBody(),
  );
}

interface Asking {
  readonly server: Server;
  readonly source: TaskSource;
  readonly caller: TaskCaller;
  /** Questions that the client is being asked. */
  readonly underway: Set<string>;
}

/** Asks the client what a task needs to know, in the open request. Otherwise waits for what comes next. */
async function askClient(
  { server, source, caller, underway }: Asking,
  { id, inputRequests = {} }: TaskState,
  { mcpReq }: ServerContext,
): Promise<void> {
  const question = Object.entries(inputRequests).find(([key]) => !underway.has(key));
  if (question?.[1].method !== 'elicitation/create' || !server.getClientCapabilities()?.elicitation) {
    return await source.next(caller, id);
  }
  const [key, { params }] = question;
  underway.add(key);
  try {
    const related = { _meta: { [RELATED_TASK_META_KEY]: { taskId: id } } };
    const options = { relatedRequestId: mcpReq.id, signal: caller.signal, timeout: ELICIT_LIMIT_MS };
    const given = await mcpReq.elicitInput({ ...(params as ElicitRequestFormParams), ...related }, options);
    await source.answer(caller, id, { [key]: given });
  } finally {
    underway.delete(key);
  }
}
