import type { Context } from 'hono';
import { GloveboxError } from '../../errors.ts';
import { followSignal } from '../../lib/follow-signal.ts';
import { type AnyTool, describeTool } from '../../tools/description.ts';
import { sendInput, sendSignal } from '../../tools/processes/send-input.ts';
import { ignoreEvents, type Tool } from '../../tools/tool.ts';
import { validateInput } from '../../tools/validate.ts';
import { parseJsonObject } from '../json.ts';
import type { Env, Route } from '../route.ts';
import type { ExecuteOptions } from './execute.ts';
import { idParameter } from './execution-events.ts';
import { jsonBody, jsonResponse } from './openapi-parts.ts';

export type ControlOptions = Pick<ExecuteOptions, 'sessions' | 'snapshots' | 'fallback' | 'stopping'>;

/** A tool that is sent something to a background execution, as a route of its own. */
interface Control<Input extends { session_id?: string | undefined }> {
  readonly tool: Tool<Input>;
  /** Names of its arguments that are in the body. */
  readonly fields: readonly string[];
  readonly example: string;
}

/** Routes that reach the program of a background execution: its standard input, and signals. */
export function controlRoutes(options: ControlOptions): Route[] {
  return [
    {
      method: 'POST',
      path: '/executions/:id/input',
      id: 'sendExecutionInput',
      tag: 'Executions',
      summary: 'Add to the standard input of a background execution that was begun with stdin_open.',
      ...routeOf({ tool: sendInput, fields: ['text', 'close'], example: '{"text": "yes\\n"}' }, options),
    },
    {
      method: 'POST',
      path: '/executions/:id/signal',
      id: 'sendExecutionSignal',
      tag: 'Executions',
      summary: 'Send a signal to a background execution and what it has started.',
      ...routeOf({ tool: sendSignal, fields: ['signal'], example: '{"signal": "TERM"}' }, options),
    },
  ];
}

function routeOf<Input extends { session_id?: string | undefined }>(
  control: Control<Input>,
  options: ControlOptions,
): Pick<Route, 'operation' | 'handle'> {
  const { tool, fields } = control;
  return {
    operation: {
      parameters: [idParameter],
      requestBody: jsonBody(describeBody(tool, fields)),
      responses: jsonResponse(200, 'It was sent.', describeTool(tool).outputSchema),
    },
    handle: async (c) => {
      const input = readInput(c, control);
      const { sessions, snapshots, fallback, stopping } = options;
      const caller = { owner: c.var.owner, fallback };
      using following = followSignal(c.req.raw.signal, stopping);
      const { signal } = following;
      return c.json(await tool.handle(input, { sessions, snapshots, caller, signal, emit: ignoreEvents }));
    },
  };
}

/** Schema of the arguments of a tool that are in the body. */
function describeBody(tool: AnyTool, fields: readonly string[]) {
  const { properties = {}, required = [] } = describeTool(tool).inputSchema as {
    properties?: Readonly<Record<string, unknown>>;
    required?: readonly string[];
  };
  const needed = required.filter((name) => fields.includes(name));
  return {
    type: 'object',
    properties: Object.fromEntries(fields.map((name) => [name, properties[name]])),
    ...(needed.length > 0 ? { required: needed } : {}),
    additionalProperties: false,
  };
}

/** Reads the arguments of a tool from path and body. @throws GloveboxError whose hint names the fields of the body */
function readInput<Input extends { session_id?: string | undefined }>(
  c: Context<Env>,
  { tool, fields, example }: Control<Input>,
): Input {
  const body = parseJsonObject(c.var.body, fields, example);
  try {
    return validateInput(tool, { ...body, execution_id: c.req.param('id') });
  } catch (error) {
    if (!(error instanceof GloveboxError) || error.code !== 'invalid_input') throw error;
    const hint = `Send a JSON object such as ${example}.`;
    throw new GloveboxError('invalid_input', error.message.replace(tool.name, 'This route'), { hint, cause: error });
  }
}
