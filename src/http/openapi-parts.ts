type Schema = Readonly<Record<string, unknown>>;

export const schemaRef = (name: string): Schema => ({ $ref: `#/components/schemas/${name}` });

export const jsonBody = (schema: Schema, required = true): Schema => ({
  required,
  content: { 'application/json': { schema } },
});

export const jsonResponse = (status: number, description: string, schema: Schema): Schema => ({
  [status]: { description, content: { 'application/json': { schema } } },
});

export const sessionParameter: Schema = {
  name: 'id',
  in: 'path',
  required: true,
  description: 'The handle or name of a session.',
  schema: { type: 'string' },
};

/** How a key is sent, to servers that ask for one. */
export const securitySchemes: Readonly<Record<string, Schema>> = {
  bearer: { type: 'http', scheme: 'bearer' },
  apiKey: { type: 'apiKey', in: 'header', name: 'X-API-Key' },
};

/** Schemas that belong to no tool. */
export const sharedSchemas: Readonly<Record<string, Schema>> = {
  Error: {
    type: 'object',
    properties: {
      error: {
        type: 'object',
        properties: { code: { type: 'string' }, message: { type: 'string' }, hint: { type: 'string' } },
        required: ['code', 'message', 'hint'],
      },
    },
    required: ['error'],
  },
  Session: {
    type: 'object',
    properties: {
      session_id: { type: 'string' },
      created_at: { type: 'string', format: 'date-time' },
      last_used_at: { type: 'string', format: 'date-time' },
      expires_at: { type: 'string', format: 'date-time' },
      running: { type: 'integer', description: 'Executions under way.' },
    },
    required: ['session_id', 'created_at', 'last_used_at', 'expires_at', 'running'],
  },
};
