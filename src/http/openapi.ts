import { type AnyTool, describeTool } from '../tools/description.ts';
import type { Route } from './env.ts';
import { jsonBody, jsonResponse, schemaRef, securitySchemes, sharedSchemas } from './openapi-parts.ts';

/** The description of the routes that have one; each failure is an `Error` with the table's status. */
export function describeApi(routes: readonly Route[], tools: readonly AnyTool[], version: string): object {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const { method, path, summary, operation } of routes) {
    if (!operation) continue;
    const responses = {
      ...(operation['responses'] as object | undefined),
      default: { description: 'A failure.', content: { 'application/json': { schema: schemaRef('Error') } } },
    };
    const template = path.replace(/:(\w+)/g, '{$1}').replace(/\*$/, '{path}');
    paths[template] = { ...paths[template], [method.toLowerCase()]: { summary, ...operation, responses } };
  }
  const schemas: Record<string, unknown> = { ...sharedSchemas };
  for (const tool of tools) {
    const { inputSchema, outputSchema } = describeTool(tool);
    schemas[`${tool.name}_input`] = inputSchema;
    schemas[`${tool.name}_output`] = outputSchema;
  }
  return {
    openapi: '3.1.0',
    info: { title: 'Glovebox', version, description: 'Untrusted Python, each session in its own sealed container.' },
    security: [{}, ...Object.keys(securitySchemes).map((name) => ({ [name]: [] }))],
    paths,
    components: { schemas, securitySchemes },
  };
}

/** What a call of any of the tools looks like. */
export function describeCall(tools: readonly AnyTool[]) {
  const oneOf = (one: (tool: AnyTool) => object) => ({ oneOf: tools.map(one) });
  const request = oneOf(({ name, description }) => ({
    type: 'object',
    description,
    properties: {
      name: { const: name },
      arguments: schemaRef(`${name}_input`),
      session_id: { type: 'string', description: 'The same as in the arguments, which go first.' },
    },
    required: ['name'],
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
      schema: { type: 'string' },
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
          content: { 'text/event-stream': { schema: { type: 'string' } } },
        },
      },
    },
  };
}
