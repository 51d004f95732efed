import type { Context } from 'hono';
import { z } from 'zod';
import { GloveboxError } from '../../errors.ts';
import type { ProgramKind } from '../../execution/program.ts';
import { CLIENT_TOOL_NAME, type ClientTool } from '../../execution/tool-access.ts';
import { followSignal } from '../../lib/follow-signal.ts';
import type { HeldExecution, HeldState } from '../../sessions/held-executions.ts';
import type { Sessions } from '../../sessions/sessions.ts';
import { toOutput } from '../../tools/execution-output.ts';
import type { ToolOutput } from '../../tools/tool.ts';
import { parseJsonObject } from '../json.ts';
import type { Env, Route } from '../route.ts';
import { idParameter } from './execution-events.ts';
import { jsonBody, jsonResponse, schemaRef } from './openapi-parts.ts';

const MAX_TOOLS = 256;
const MAX_DESCRIPTION = 16_384;
/** Results in one request. */
const MAX_RESULTS = 1000;
/** Tools whose code may call those of the caller, by what they run. */
const TOOLS: Readonly<Record<ProgramKind, string>> = { code: 'execute_python', command: 'run_command' };
const EXAMPLE = '{"results": [{"id": "call_…", "value": 42}]}';

const toolsSchema = z
  .array(
    z.strictObject({
      name: z
        .string()
        .regex(CLIENT_TOOL_NAME, 'a name is 1 to 64 letters, digits, "_", "-" or "." and begins with a letter or "_"'),
      description: z.string().max(MAX_DESCRIPTION).optional(),
      inputSchema: z.record(z.string(), z.unknown()).optional(),
    }),
  )
  .min(1)
  .max(MAX_TOOLS)
  .refine((tools) => new Set(tools.map(({ name }) => name)).size === tools.length, 'two of them have the same name');

const resultsSchema = z
  .array(
    z
      .strictObject({ id: z.string().max(64), value: z.unknown().optional(), error: z.string().optional() })
      .refine((result) => 'value' in result !== (result.error !== undefined), 'a result has a value or an error'),
  )
  .max(MAX_RESULTS);

/** Description of `client_tools` in the body of a call. */
export const clientToolsSchema = {
  type: 'array',
  description: 'Tools of your own, which the code calls as tools.client.NAME. The answer then asks for their results.',
  items: {
    type: 'object',
    properties: {
      name: { type: 'string', pattern: CLIENT_TOOL_NAME.source },
      description: { type: 'string' },
      inputSchema: { type: 'object', description: 'JSON Schema of its arguments.' },
    },
    required: ['name'],
    additionalProperties: false,
  },
};

/** Description of an answer that asks for the results of calls. */
export const toolCallRequired = {
  type: 'object',
  description: 'The code waits for results of your tools: POST /executions/{id}/tool_results.',
  properties: {
    session_id: { type: 'string' },
    execution_id: { type: 'string' },
    status: { const: 'tool_call_required' },
    tool_calls: {
      type: 'array',
      items: {
        type: 'object',
        properties: { id: { type: 'string' }, name: { type: 'string' }, arguments: { type: 'object' } },
        required: ['id', 'name', 'arguments'],
      },
    },
  },
  required: ['session_id', 'execution_id', 'status', 'tool_calls'],
};

/** @throws GloveboxError `invalid_input` */
export function parseClientTools(sent: unknown): readonly ClientTool[] {
  return parse(toolsSchema, sent, 'client_tools', '[{"name": "add", "description": "…", "inputSchema": {…}}]');
}

/** Reads the state of an execution, or that it still runs after a wait. */
export async function readHeld(held: HeldExecution, waitMs: number, signal: AbortSignal): Promise<object> {
  // It takes whole milliseconds only.
  const over = AbortSignal.timeout(Math.ceil(waitMs));
  try {
    return toAnswer(held, await held.next(AbortSignal.any([signal, over])));
  } catch (error) {
    if (signal.aborted || !over.aborted) throw error;
    return { session_id: held.sessionId, execution_id: held.id, status: 'running' };
  }
}

/** Cancels an execution, and returns its result. */
export async function endHeld(held: HeldExecution, signal: AbortSignal): Promise<object> {
  held.cancel();
  return toAnswer(held, await held.next(signal));
}

/** Next state of an execution, in the form of the output of its tool. */
function toAnswer({ id, sessionId }: HeldExecution, state: HeldState): ToolOutput {
  if (state.state === 'ended') return toOutput(state.result);
  const calls = state.questions.map((question) => ({
    ...{ id: question.id, name: question.name, arguments: question.arguments },
  }));
  return { session_id: sessionId, execution_id: id, status: 'tool_call_required', tool_calls: calls };
}

/**
 * Follows an execution to its end, or until it waits for its caller. With `onWaiting`, its caller is told of that there,
 * and answers meanwhile. When the signal aborts, the execution is ended.
 */
export async function followHeld(
  held: HeldExecution,
  signal: AbortSignal,
  onWaiting?: (answer: object) => void | Promise<void>,
): Promise<ToolOutput> {
  try {
    for (;;) {
      const state = await held.next(signal, { isNew: onWaiting !== undefined });
      if (state.state === 'ended' || !onWaiting) return toAnswer(held, state);
      await onWaiting(toAnswer(held, state));
    }
  } catch (error) {
    if (!signal.aborted) throw error;
    held.cancel();
    return toAnswer(held, await held.next(new AbortController().signal));
  }
}

export interface ToolResultsOptions {
  readonly sessions: Pick<Sessions, 'held'>;
  readonly stopping: AbortSignal;
}

/** Takes results of the caller's own tools, and waits for what comes next. */
export function toolResultsRoute({ sessions, stopping }: ToolResultsOptions): Route {
  return {
    method: 'POST',
    path: '/executions/:id/tool_results',
    id: 'sendToolResults',
    tag: 'Executions',
    summary: 'Send the results of your own tools to the code that waits for them, and get what comes next.',
    operation: {
      parameters: [idParameter],
      requestBody: jsonBody(bodySchema),
      responses: jsonResponse(200, 'As of POST /execute, once the code has ended or waits again.', answerSchema),
    },
    handle: async (c) => {
      const { results } = parseJsonObject(c.get('body'), ['results'], EXAMPLE);
      const held = sessions.held.get(c.get('owner'), c.req.param('id') ?? '');
      const notTaken = give(held, parse(resultsSchema, results, 'results', EXAMPLE));
      return c.json({ name: TOOLS[held.kind], ...(await describeNext(c, held, stopping, notTaken)) });
    },
  };
}

type Results = z.infer<typeof resultsSchema>;
type NotTaken = { readonly id: string; readonly reason: string };

/** Gives results to an execution. Returns those that it did not take. @throws GloveboxError `invalid_input` */
function give(held: HeldExecution, results: Results): readonly NotTaken[] {
  const unknown = results.find(({ id }) => !held.asked(id));
  if (unknown) {
    throw new GloveboxError('invalid_input', `The execution has no call ${JSON.stringify(unknown.id)}.`, {
      hint: 'Send the ids of "tool_calls", as the last answer has them. An empty list of results gets them again.',
    });
  }
  return results.flatMap(({ id, value, error }) => {
    const outcome = held.answer(id, error === undefined ? { value } : { error });
    return outcome === 'taken' ? [] : [{ id, reason: WHY_NOT[outcome] }];
  });
}

const WHY_NOT = {
  answered: 'It has a result already.',
  over: 'The code does not wait for it any more.',
  unknown: 'There is no such call.',
} as const;

async function describeNext(
  c: Context<Env>,
  held: HeldExecution,
  stopping: AbortSignal,
  notTaken: readonly NotTaken[],
): Promise<object> {
  using following = followSignal(c.req.raw.signal, stopping);
  const result = toAnswer(held, await held.next(following.signal));
  const refused = notTaken.length > 0 ? { not_taken: notTaken } : {};
  return { session_id: held.sessionId, result, ...refused };
}

function parse<T>(schema: z.ZodType<T>, sent: unknown, field: string, example: string): T {
  const parsed = schema.safeParse(sent);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const where = (issue?.path ?? [])
    .map((step) => (typeof step === 'number' ? `[${step}]` : `.${String(step)}`))
    .join('');
  throw new GloveboxError('invalid_input', `The field "${field}${where}" cannot be used: ${issue?.message}.`, {
    hint: `Send, for example, ${example}.`,
  });
}

const bodySchema = {
  type: 'object',
  properties: {
    results: {
      type: 'array',
      description: 'An empty list only asks what comes next.',
      items: {
        type: 'object',
        properties: {
          id: { type: 'string' },
          value: { description: 'What the tool returned: any JSON.' },
          error: { type: 'string', description: 'Instead of a value: why it failed. The code gets a ToolError.' },
        },
        required: ['id'],
        additionalProperties: false,
      },
    },
  },
  required: ['results'],
  additionalProperties: false,
};

const answerSchema = {
  type: 'object',
  properties: {
    name: { enum: Object.values(TOOLS) },
    session_id: { type: 'string' },
    result: { anyOf: [...Object.values(TOOLS).map((tool) => schemaRef(`${tool}_output`)), toolCallRequired] },
    not_taken: {
      type: 'array',
      description: 'Results that came too late, or twice.',
      items: {
        type: 'object',
        properties: { id: { type: 'string' }, reason: { type: 'string' } },
        required: ['id', 'reason'],
      },
    },
  },
  required: ['name', 'session_id', 'result'],
};
