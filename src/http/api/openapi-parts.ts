import { ERROR_CODES } from '../../errors.ts';

type Schema = Readonly<Record<string, unknown>>;

export const schemaRef = (name: string): Schema => ({ $ref: `#/components/schemas/${name}` });

export const jsonBody = (schema: Schema, required = true): Schema => ({
  required,
  content: { 'application/json': { schema } },
});

export const jsonResponse = (
  status: number,
  description: string,
  schema: Schema,
  headers?: Readonly<Record<string, string>>,
): Schema => ({
  [status]: {
    description,
    ...(headers ? { headers: describeHeaders(headers) } : {}),
    content: { 'application/json': { schema } },
  },
});

/** A query parameter that is on or off. */
export const SWITCH: Schema = { type: 'string', enum: ['1', 'true', '0', 'false'] };

/** A header of an answer. */
const header = (description: string): Schema => ({ description, schema: { type: 'string' } });

/** Headers of an answer, by what is said of each. */
export function describeHeaders(headers: Readonly<Record<string, string>>): Schema {
  return Object.fromEntries(Object.entries(headers).map(([name, about]) => [name, header(about)]));
}

/** A header of a request that may be left out. */
export const requestHeader = (name: string, description: string, pattern?: string): Schema => ({
  name,
  in: 'header',
  required: false,
  description,
  schema: { type: 'string', ...(pattern ? { pattern } : {}) },
});

const NAME = { type: 'string', pattern: '^(?!gbx_)[A-Za-z0-9_-]{1,64}$' };

export const sessionNameSchema: Schema = { ...NAME, description: 'Letters, digits, _ and -, not beginning with gbx_.' };

export const SNAPSHOT_PATTERN = '^snp_[0-9a-f]{24}$';

/** A handle or a name. */
export const sessionIdSchema: Schema = { type: 'string', pattern: '^[A-Za-z0-9_-]{1,64}$' };

export const sessionParameter: Schema = {
  name: 'id',
  in: 'path',
  required: true,
  description: 'The handle or name of a session.',
  schema: sessionIdSchema,
};

export const filePathParameter: Schema = {
  name: 'path',
  in: 'path',
  required: true,
  description: 'From the workspace on; its slashes may stand as they are.',
  schema: { type: 'string', minLength: 1, maxLength: 4096 },
};

const fileEntry: Schema = {
  type: 'object',
  properties: {
    path: { type: 'string' },
    type: { enum: ['file', 'directory', 'link', 'other'] },
    size: { type: 'integer' },
    modified: { type: 'string', format: 'date-time' },
  },
  required: ['path', 'type', 'size', 'modified'],
};

export const fileSchemas = {
  list: {
    type: 'object',
    properties: {
      session_id: { type: 'string' },
      files: { type: 'array', items: fileEntry },
      truncated: { type: 'boolean', description: 'Whether there are more.' },
    },
    required: ['session_id', 'files'],
  },
  form: {
    type: 'object',
    properties: { file: { type: 'array', items: { type: 'string', format: 'binary' } } },
    additionalProperties: { type: 'string', format: 'binary' },
  },
  stored: {
    type: 'object',
    properties: {
      session_id: { type: 'string' },
      files: {
        type: 'array',
        items: {
          type: 'object',
          properties: { path: { type: 'string' }, size: { type: 'integer' }, created: { type: 'boolean' } },
          required: ['path', 'size', 'created'],
        },
      },
    },
    required: ['session_id', 'files'],
  },
  written: {
    type: 'object',
    properties: {
      session_id: { type: 'string' },
      path: { type: 'string' },
      size: { type: 'integer', description: 'Bytes written.' },
      files: { type: 'integer', description: 'Files that were in the tar.' },
    },
    required: ['session_id', 'path', 'size'],
  },
} as const satisfies Record<string, Schema>;

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
        properties: {
          code: { enum: ERROR_CODES },
          message: { type: 'string' },
          hint: { type: 'string' },
          retry_after_s: { type: 'integer', description: 'Seconds, as in Retry-After.' },
        },
        required: ['code', 'message', 'hint'],
      },
    },
    required: ['error'],
  },
  Snapshot: {
    type: 'object',
    properties: {
      snapshot_id: { type: 'string' },
      session_id: { type: 'string', description: 'The session that it was made of.' },
      size: { type: 'integer', description: 'Bytes of all files in it.' },
      created_at: { type: 'string', format: 'date-time' },
    },
    required: ['snapshot_id', 'session_id', 'size', 'created_at'],
  },
  Session: {
    type: 'object',
    properties: {
      session_id: { type: 'string' },
      state: { enum: ['active', 'hibernated'], description: 'A hibernated one wakes up when it is used.' },
      created_at: { type: 'string', format: 'date-time' },
      last_used_at: { type: 'string', format: 'date-time' },
      expires_at: { type: 'string', format: 'date-time' },
      running: { type: 'integer', description: 'Executions under way.' },
      contexts: { type: 'array', items: { type: 'string' }, description: 'Names of its live contexts.' },
    },
    required: ['session_id', 'state', 'created_at', 'last_used_at', 'expires_at', 'running', 'contexts'],
  },
};

/** One event; its data is JSON. */
export const oneEvent = {
  type: 'object',
  properties: { event: { type: 'string' }, data: { type: 'string' } },
  required: ['event', 'data'],
} as const;
