import { type AnyTool, describeTool } from '../../tools/description.ts';
import type { Route } from '../route.ts';
import { clientToolsSchema, toolCallRequired } from './client-tools.ts';
import { failureResponses, failuresOf } from './openapi-failures.ts';
import {
  jsonBody,
  jsonResponse,
  oneEvent,
  requestHeader,
  SWITCH,
  schemaRef,
  securitySchemes,
  sessionIdSchema,
  sharedSchemas,
} from './openapi-parts.ts';

const TAGS: Readonly<Record<NonNullable<Route['tag']>, string>> = {
  Tools: 'Running code, and the other tools.',
  Sessions: 'Sealed containers, each with its files and packages.',
  Files: 'Files of a session.',
  Terminals: 'Shells and other programs on a PTY.',
  Executions: 'Background executions and contexts.',
  Snapshots: 'Copies of sessions: snapshots, forks and exports.',
  Approvals: 'Questions to people, whether code may call a tool.',
  Server: 'Information about this server and its state.',
};

/** Describes the routes in OpenAPI. Each error response has the schema `Error`. */
export function describeApi(routes: readonly Route[], tools: readonly AnyTool[], version: string): object {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const route of routes) {
    const { method, path, operation } = route;
    if (!operation) continue;
    const template = path.replace(/:(\w+)/g, '{$1}').replace(/\*$/, '{path}');
    paths[template] = { ...paths[template], [method.toLowerCase()]: describeOperation(route) };
  }
  const schemas: Record<string, unknown> = { ...sharedSchemas };
  for (const tool of tools) {
    const { inputSchema, outputSchema } = describeTool(tool);
    schemas[`${tool.name}_input`] = inputSchema;
    schemas[`${tool.name}_output`] = outputSchema;
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Glovebox',
      version,
      description: 'Runs untrusted Python. Each session has its own sealed container.',
      contact: { name: 'The operator of this server' },
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/', description: 'This server.' }],
    tags: Object.entries(TAGS).map(([name, description]) => ({ name, description })),
    security: [{}, ...Object.keys(securitySchemes).map((name) => ({ [name]: [] }))],
    paths,
    components: { schemas, responses: failureResponses, securitySchemes },
  };
}

const IDEMPOTENCY_KEY = requestHeader(
  'Idempotency-Key',
  'A key for one call. If the call is repeated with the same key, it runs only once.',
);

function takesKey({ method, takes = ['json'] }: Route): boolean {
  return method === 'POST' && takes.includes('json');
}

function describeOperation(route: Route): object {
  const { id, tag, summary, operation } = route;
  return {
    ...(id ? { operationId: id } : {}),
    ...(tag ? { tags: [tag] } : {}),
    summary,
    description: summary,
    ...operation,
    parameters: [...((operation?.['parameters'] ?? []) as object[]), ...(takesKey(route) ? [IDEMPOTENCY_KEY] : [])],
    responses: { ...(operation?.['responses'] as object | undefined), ...failuresOf(route) },
  };
}

function hasRequired(tool: AnyTool): boolean {
  const { required } = describeTool(tool).inputSchema;
  return Array.isArray(required) && required.length > 0;
}

/** Describes the request and the responses of a tool call. */
export function describeCall(tools: readonly AnyTool[]) {
  const oneOf = (one: (tool: AnyTool) => object) => ({ oneOf: tools.map(one) });
  const request = oneOf((tool) => ({
    type: 'object',
    description: tool.description,
    properties: {
      name: { const: tool.name },
      arguments: schemaRef(`${tool.name}_input`),
      session_id: { ...sessionIdSchema, description: 'As in the arguments, which take precedence.' },
      ...(tool.hold ? { client_tools: clientToolsSchema } : {}),
    },
    required: hasRequired(tool) ? ['name', 'arguments'] : ['name'],
    additionalProperties: false,
  }));
  const result = oneOf(({ name, hold }) => ({
    type: 'object',
    properties: {
      name: { const: name },
      session_id: { type: 'string' },
      result: hold ? { oneOf: [schemaRef(`${name}_output`), toolCallRequired] } : schemaRef(`${name}_output`),
    },
    required: ['name', 'result'],
  }));
  const parameters = [
    {
      name: 'X-Session-Id',
      in: 'header',
      required: false,
      description: 'The session, if the body does not name one.',
      schema: sessionIdSchema,
    },
  ];
  return {
    answer: { parameters, requestBody: jsonBody(request), responses: jsonResponse(200, 'The result.', result) },
    stream: {
      parameters: [
        ...parameters,
        {
          name: 'stdin',
          in: 'query',
          required: false,
          description: 'Whether PUT /execute/stream/stdin sends the standard input of the code.',
          schema: SWITCH,
        },
        {
          name: 'bytes',
          in: 'query',
          required: false,
          description:
            'Whether `stdout` and `stderr` have `base64`, the bytes as they were written, instead of `text`.',
          schema: SWITCH,
        },
      ],
      requestBody: jsonBody(request),
      responses: {
        200: {
          description:
            'Events `session`, `stdout`, `stderr`, `display`, `tool_call`, `tool_call_required`, `progress`, then one `result` or `error`.',
          content: { 'text/event-stream': { schema: oneEvent } },
        },
      },
    },
  };
}
