import type { Context } from 'hono';
import { GloveboxError } from '../../errors.ts';
import { followSignal } from '../../lib/follow-signal.ts';
import type { AnyTool } from '../../tools/description.ts';
import { LONGEST_WAIT_S } from '../../tools/get-execution.ts';
import { ignoreEvents } from '../../tools/tool.ts';
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

type Options = Pick<ExecuteOptions, 'tools' | 'sessions' | 'stopping' | 'log' | 'keepAliveMs'>;

/** Asks a tool of the execution that the path names. */
function createAsk({ tools, sessions, stopping }: Options) {
  return async (c: Context<Env>, name: string, more: object, signal: AbortSignal) => {
    const tool = tools.find((candidate) => candidate.name === name);
    if (!tool) throw new GloveboxError('not_found', `There is no tool ${name}.`);
    const input = validate(tool, { execution_id: c.req.param('id'), ...more });
    using following = followSignal(signal, stopping);
    const caller = { owner: c.var.owner, fallback: 'new' } as const;
    return await tool.handle(input, { sessions, caller, signal: following.signal, emit: ignoreEvents });
  };
}

/** @throws GloveboxError that speaks of query parameters, which are all that a caller of these routes has chosen */
function validate(tool: AnyTool, given: object): ReturnType<typeof validateInput> {
  try {
    return validateInput(tool, given);
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
  const { stopping, log, keepAliveMs } = options;
  const ask = createAsk(options);
  const call = (name: string, read: (c: Context<Env>) => object) => async (c: Context<Env>) =>
    c.json(await ask(c, name, read(c), c.req.raw.signal));
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
      handle: call('get_execution', readNumbers),
    },
    executionEventsRoute({
      look: (c, offsets, signal) => ask(c, 'get_execution', offsets, signal),
      stopping,
      log,
      keepAliveMs,
    }),
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
      handle: call('cancel_execution', () => ({})),
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
      handle: (c) => c.json({ executions: sessions.get(c.var.owner, readId(c)).listJobs() }),
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
