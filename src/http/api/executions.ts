import type { Context } from 'hono';
import { GloveboxError } from '../../errors.ts';
import { followSignal } from '../../lib/follow-signal.ts';
import type { BackgroundExecution } from '../../sessions/background-execution.ts';
import {
  cancelExecution,
  getExecution,
  LONGEST_WAIT_S,
  toReadingOutput,
  toReadOptions,
} from '../../tools/get-execution.ts';
import type { Tool } from '../../tools/tool.ts';
import { validateInput } from '../../tools/validate.ts';
import type { Env, Route } from '../route.ts';
import type { ExecuteOptions } from './execute.ts';
import { executionEventsRoute, idParameter } from './execution-events.ts';
import { jsonResponse, sessionParameter } from './openapi-parts.ts';
import { readId } from './sessions.ts';

const OFFSET = { type: 'integer', minimum: 0, maximum: Number.MAX_SAFE_INTEGER };
const NUMBERS = {
  wait_s: { type: 'number', minimum: 0, maximum: LONGEST_WAIT_S },
  stdout_offset: OFFSET,
  stderr_offset: OFFSET,
};
const contextParameter = {
  name: 'name',
  in: 'path',
  required: true,
  schema: { type: 'string', pattern: '^[A-Za-z0-9_-]{1,64}$' },
};

const listed = {
  type: 'object',
  properties: {
    execution_id: { type: 'string' },
    started_at: { type: 'string', format: 'date-time' },
    status: {
      enum: ['queued', 'running', 'ok', 'error', 'timeout', 'cancelled', 'out_of_memory', 'crashed'],
      description: 'What it ended as, once it has: `error` as well if it could not be run.',
    },
    running: { type: 'boolean', description: 'Whether it is queued or running.' },
  },
  required: ['execution_id', 'started_at', 'status', 'running'],
};

/** A background execution as it is listed. */
function toListed({ id, startedAt, status, outcome }: BackgroundExecution) {
  return { execution_id: id, started_at: startedAt.toISOString(), status, running: !outcome };
}

type Options = Pick<ExecuteOptions, 'sessions' | 'stopping' | 'log' | 'keepAliveMs'>;

/**
 * The path's execution and the query's numbers, checked as the arguments of a tool are.
 * @throws GloveboxError that speaks of query parameters, which are all that a caller of these routes has chosen
 */
function readInput<Input extends { session_id?: string | undefined }>(
  c: Context<Env>,
  tool: Tool<Input>,
  numbers: object,
): Input {
  try {
    return validateInput(tool, { execution_id: c.req.param('id'), ...numbers });
  } catch (error) {
    if (!(error instanceof GloveboxError) || error.code !== 'invalid_input') throw error;
    const hint = `Query parameters of GET /executions/{id}: ${Object.keys(NUMBERS).join(', ')}.`;
    throw new GloveboxError('invalid_input', error.message.replace(tool.name, 'This route'), { hint, cause: error });
  }
}

/** Following and cancelling background executions, and ending contexts. */
export function executionRoutes(options: Options): Route[] {
  return [...backgroundRoutes(options), ...ofSessions(options)];
}

function backgroundRoutes(options: Options): Route[] {
  const { sessions, stopping, log, keepAliveMs } = options;
  const look = async (c: Context<Env>, numbers: object, signal: AbortSignal) => {
    const input = readInput(c, getExecution, numbers);
    using following = followSignal(signal, stopping);
    const { owner } = c.var;
    const asked = { ...toReadOptions(input), signal: following.signal };
    return toReadingOutput(await sessions.readBackground(owner, input.execution_id, asked));
  };
  return [
    {
      method: 'GET',
      path: '/executions/:id',
      id: 'getExecution',
      tag: 'Executions',
      summary: 'A background execution: ?wait_s=, ?stdout_offset=, ?stderr_offset=.',
      operation: {
        parameters: [
          idParameter,
          ...Object.entries(NUMBERS).map(([name, schema]) => ({ name, in: 'query', required: false, schema })),
        ],
        responses: jsonResponse(200, 'How it is, its new output, and its result once it ended.', { type: 'object' }),
      },
      handle: async (c) => c.json(await look(c, readNumbers(c), c.req.raw.signal)),
    },
    executionEventsRoute({ look, stopping, log, keepAliveMs }),
    {
      method: 'DELETE',
      path: '/executions/:id',
      id: 'cancelExecution',
      tag: 'Executions',
      summary: 'Cancel a background execution.',
      operation: {
        parameters: [idParameter],
        responses: jsonResponse(200, 'Its result.', { type: 'object' }),
      },
      handle: async (c) => {
        const input = readInput(c, cancelExecution, {});
        using following = followSignal(c.req.raw.signal, stopping);
        const { owner } = c.var;
        const reading = await sessions.cancelBackground(owner, input.execution_id, following.signal);
        return c.json(toReadingOutput(reading));
      },
    },
  ];
}

function ofSessions({ sessions }: Options): Route[] {
  return [
    {
      method: 'GET',
      path: '/sessions/:id/executions',
      id: 'listExecutions',
      tag: 'Executions',
      summary: 'The background executions of a session.',
      operation: {
        parameters: [sessionParameter],
        responses: jsonResponse(200, 'The newest last.', {
          type: 'object',
          properties: { executions: { type: 'array', items: listed } },
          required: ['executions'],
        }),
      },
      handle: (c) => c.json({ executions: sessions.get(c.var.owner, readId(c)).background.list().map(toListed) }),
    },
    {
      method: 'DELETE',
      path: '/sessions/:id/contexts/:name',
      id: 'endContext',
      tag: 'Executions',
      summary: 'End a context: its variables are gone, its name is free.',
      operation: {
        parameters: [sessionParameter, contextParameter],
        responses: { 204: { description: 'Ended.' } },
      },
      handle: async (c) => {
        using held = sessions.hold(c.var.owner, readId(c));
        await held.session.endContext(c.req.param('name') ?? '', c.req.raw.signal);
        return c.body(null, 204);
      },
    },
  ];
}

/** Texts that are no numbers are left for the schema to refuse. */
function readNumbers(c: Context<Env>): Record<string, unknown> {
  const given = Object.keys(NUMBERS).flatMap((name) => {
    const text = c.req.query(name);
    const number = Number(text);
    return text === undefined ? [] : [[name, text.trim() === '' || Number.isNaN(number) ? text : number] as const];
  });
  return Object.fromEntries(given);
}
