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
import { endHeld, readHeld, toolResultsRoute } from './client-tools.ts';
import type { ExecuteOptions } from './execute.ts';
import { type ControlOptions, controlRoutes } from './execution-control.ts';
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
      description: 'The state, or the status of its end; `error` also if the execution could not start.',
    },
    running: { type: 'boolean', description: 'Whether it is queued or running.' },
    kind: { enum: ['code', 'command'], description: 'Unknown of one that an earlier version began.' },
    code: { type: 'string', description: 'The beginning of its code, or of its command.' },
  },
  required: ['execution_id', 'started_at', 'status', 'running'],
};

/** The form of a background execution in a list. */
function toListed({ id, startedAt, status, outcome, program }: BackgroundExecution) {
  return { execution_id: id, started_at: startedAt.toISOString(), status, running: !outcome, ...program };
}

type Options = ControlOptions & Pick<ExecuteOptions, 'tools' | 'log' | 'keepAliveMs'>;

/**
 * Reads the execution id of the path and the numbers of the query, and checks them as arguments of a tool.
 * @throws GloveboxError whose hint names query parameters instead of tool arguments
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

/** Routes to follow, reach and cancel background executions, and to end contexts. */
export function executionRoutes(options: Options): Route[] {
  return [
    ...backgroundRoutes(options),
    ...controlRoutes(options),
    ...(options.tools.some(({ hold }) => hold) ? [toolResultsRoute(options)] : []),
    ...sessionExecutionRoutes(options),
  ];
}

function backgroundRoutes(options: Options): Route[] {
  const { sessions, stopping, log, keepAliveMs } = options;
  const read = async (c: Context<Env>, numbers: object, signal: AbortSignal) => {
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
      summary: 'Get a background execution: ?wait_s=, ?stdout_offset=, ?stderr_offset=.',
      operation: {
        parameters: [
          idParameter,
          ...Object.entries(NUMBERS).map(([name, schema]) => ({ name, in: 'query', required: false, schema })),
        ],
        responses: jsonResponse(200, 'Its status, its new output, and its result once it has ended.', {
          type: 'object',
        }),
      },
      handle: async (c) => {
        const { wait_s = 0 } = readInput(c, getExecution, readNumbers(c));
        const held = sessions.held.find(c.var.owner, c.req.param('id') ?? '');
        if (held) return c.json(await readHeld(held, wait_s * 1000, c.req.raw.signal));
        return c.json(await read(c, readNumbers(c), c.req.raw.signal));
      },
    },
    executionEventsRoute({ read, stopping, log, keepAliveMs }),
    {
      method: 'DELETE',
      path: '/executions/:id',
      id: 'cancelExecution',
      tag: 'Executions',
      summary: 'Cancel a background execution, or one that its caller comes back for.',
      operation: {
        parameters: [idParameter],
        responses: jsonResponse(200, 'Its result.', { type: 'object' }),
      },
      handle: async (c) => {
        const input = readInput(c, cancelExecution, {});
        using following = followSignal(c.req.raw.signal, stopping);
        const { owner } = c.var;
        const held = sessions.held.find(owner, input.execution_id);
        if (held) return c.json(await endHeld(held, following.signal));
        const reading = await sessions.cancelBackground(owner, input.execution_id, following.signal);
        return c.json(toReadingOutput(reading));
      },
    },
  ];
}

function sessionExecutionRoutes({ sessions }: Options): Route[] {
  return [
    {
      method: 'GET',
      path: '/sessions/:id/executions',
      id: 'listExecutions',
      tag: 'Executions',
      summary: 'List the background executions of a session.',
      operation: {
        parameters: [sessionParameter],
        responses: jsonResponse(200, 'The executions, newest last.', {
          type: 'object',
          properties: { executions: { type: 'array', items: listed } },
          required: ['executions'],
        }),
      },
      handle: async (c) => {
        const session = await sessions.getAdopted(c.var.owner, readId(c), { signal: c.req.raw.signal });
        return c.json({ executions: session.background.list().map(toListed) });
      },
    },
    {
      method: 'DELETE',
      path: '/sessions/:id/contexts/:name',
      id: 'endContext',
      tag: 'Executions',
      summary: 'End a context: its variables are deleted, and its name can be used again.',
      operation: {
        parameters: [sessionParameter, contextParameter],
        responses: { 204: { description: 'Ended.' } },
      },
      handle: async (c) => {
        using held = await sessions.hold(c.var.owner, readId(c), { signal: c.req.raw.signal });
        await held.session.endContext(c.req.param('name') ?? '', c.req.raw.signal);
        return c.body(null, 204);
      },
    },
  ];
}

/** Reads the numbers of the query. Other texts are kept, for the schema to refuse. */
function readNumbers(c: Context<Env>): Record<string, unknown> {
  const given = Object.keys(NUMBERS).flatMap((name) => {
    const text = c.req.query(name);
    const number = Number(text);
    return text === undefined ? [] : [[name, text.trim() === '' || Number.isNaN(number) ? text : number] as const];
  });
  return Object.fromEntries(given);
}
