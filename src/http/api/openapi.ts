import { type AnyTool, describeTool } from '../../tools/description.ts';
import type { Route } from '../route.ts';
import { failureResponses, failuresOf } from './openapi-failures.ts';
import {
  jsonBody,
  jsonResponse,
  oneEvent,
  requestHeader,
  schemaRef,
  securitySchemes,
  sessionIdSchema,
  sharedSchemas,
} from './openapi-parts.ts';

const TAGS: Readonly<Record<NonNullable<Route['tag']>, string>> = {
  Tools: 'Running code, and all else that a model calls by name.',
  Sessions: 'One sealed container each, with its files and packages.',
  Files: 'Bytes in and out of a session.',
  Executions: 'Background executions and contexts.',
  Snapshots: 'Copies of sessions: kept, forked, exported.',
  Server: 'What this server is and how it fares.',
};

/** The description of the routes that have one; each failure is an `Error` with the table's status. */
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
      description: 'Untrusted Python, each session in its own sealed container.',
      contact: { name: 'Whoever runs this server' },
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/', description: 'The server that this description comes from.' }],
    tags: Object.entries(TAGS).map(([name, description]) => ({ name, description })),
    security: [{}, ...Object.keys(securitySchemes).map((name) => ({ [name]: [] }))],
    paths,
    components: { schemas, responses: failureResponses, securitySchemes },
  };
}

const IDEMPOTENCY_KEY = requestHeader('Idempotency-Key', 'The same for each try of one call, which is then made once.');

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

/** What a call of any of the tools looks like. */
export function describeCall(tools: readonly AnyTool[]) {
  const oneOf = (one: (tool: AnyTool) => object) => ({ oneOf: tools.map(one) });
  const request = oneOf((tool) => ({
    type: 'object',
    description: tool.description,
    properties: {
      name: { const: tool.name },
      arguments: schemaRef(`${tool.name}_input`),
      session_id: { ...sessionIdSchema, description: 'The same as in the arguments, which go first.' },
    },
    required: hasRequired(tool) ? ['name', 'arguments'] : ['name'],
    additionalProperties: false,
  }));
  const result = oneOf(({ name }) => ({
    type: 'object',
    properties: { name: { const: name }, session_id: { type: 'string' }, result: schemaRef(`${name}_output`) },
    required: ['name', 'result'],
  }));
  const parameters = [
    {
      name: 'X-Session-Id',
      in: 'header',
      required: false,
      description: 'The session, unless the body names one.',
      schema: sessionIdSchema,
    },
  ];
  return {
    answer: { parameters, requestBody: jsonBody(request), responses: jsonResponse(200, 'The result.', result) },
    stream: {
      parameters,
      requestBody: jsonBody(request),
      responses: {
        200: {
          description: 'Events `session`, `stdout`, `stderr`, `display`, `progress`, then one `result` or `error`.',
          content: { 'text/event-stream': { schema: oneEvent } },
        },
      },
    },
  };
}
