import { ERROR_CODES } from '../../errors.ts';

type Schema = Readonly<Record<string, unknown>>;

/** A reference to a schema of the description. */
export const schemaRef = (name: string): Schema => ({ $ref: `#/components/schemas/${name}` });

/** A JSON request body. */
export const jsonBody = (schema: Schema, required = true): Schema => ({
  required,
  content: { 'application/json': { schema } },
});

/** A JSON response, by its status. */
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

/** A header of a response. */
const header = (description: string): Schema => ({ description, schema: { type: 'string' } });

/** Headers of a response, by their descriptions. */
export function describeHeaders(headers: Readonly<Record<string, string>>): Schema {
  return Object.fromEntries(Object.entries(headers).map(([name, about]) => [name, header(about)]));
}

/** An optional header of a request. */
export const requestHeader = (name: string, description: string, pattern?: string): Schema => ({
  name,
  in: 'header',
  required: false,
  description,
  schema: { type: 'string', ...(pattern ? { pattern } : {}) },
});

const NAME = { type: 'string', pattern: '^(?!gbx_)[A-Za-z0-9_-]{1,64}$' };

export const sessionNameSchema: Schema = {
  ...NAME,
  description: 'Letters, digits, _ and -. It must not begin with gbx_.',
};

export const SNAPSHOT_PATTERN = '^snp_[0-9a-f]{24}$';

/** Schema of a session's handle or name. */
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
  description: 'Path relative to the workspace. Slashes need not be encoded.',
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
      truncated: { type: 'boolean', description: 'Whether there are more files.' },
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
      files: { type: 'integer', description: 'Number of files in the tar.' },
    },
    required: ['session_id', 'path', 'size'],
  },
} as const satisfies Record<string, Schema>;

/** How to send a key to servers that require one. */
export const securitySchemes: Readonly<Record<string, Schema>> = {
  bearer: { type: 'http', scheme: 'bearer' },
  apiKey: { type: 'apiKey', in: 'header', name: 'X-API-Key' },
};

/** Schemas that do not belong to a tool. */
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
          retry_after_s: { type: 'integer', description: 'Seconds to wait before trying again, as in Retry-After.' },
          begun: {
            type: 'boolean',
            description:
              'Whether the request had begun when something went away: the engine, its machine, or a server. If not, nothing of it was done.',
          },
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
      session_id: { type: 'string', description: 'The session that the snapshot was made from.' },
      size: { type: 'integer', description: 'Size of all files, in bytes.' },
      created_at: { type: 'string', format: 'date-time' },
    },
    required: ['snapshot_id', 'session_id', 'size', 'created_at'],
  },
  Session: {
    type: 'object',
    properties: {
      session_id: { type: 'string' },
      state: { enum: ['active', 'hibernated'], description: 'A hibernated session wakes up when it is used.' },
      created_at: { type: 'string', format: 'date-time' },
      last_used_at: { type: 'string', format: 'date-time' },
      expires_at: { type: 'string', format: 'date-time' },
      running: { type: 'integer', description: 'Number of running executions.' },
      contexts: { type: 'array', items: { type: 'string' }, description: 'Names of its contexts.' },
      web: {
        type: 'array',
        items: { type: 'string' },
        description: 'Hosts to which its code is narrowed; absent for all that its owner may reach.',
      },
      owner: { type: 'string', description: 'Its owner, in answers that list or get sessions.' },
      usage: {
        type: 'object',
        description: 'What it has used, in answers that list or get sessions.',
        properties: {
          cpu_ms: { type: 'number', description: 'Processor time of its executions since the server started.' },
          peak_memory_bytes: { type: 'integer', description: 'Highest memory of an execution since then.' },
          saved_bytes: { type: 'integer', description: 'Size of its files when it was last saved.' },
        },
        required: ['cpu_ms', 'peak_memory_bytes'],
      },
    },
    required: ['session_id', 'state', 'created_at', 'last_used_at', 'expires_at', 'running', 'contexts'],
  },
};

/** Schema of one event, whose data is JSON. */
export const oneEvent = {
  type: 'object',
  properties: { event: { type: 'string' }, data: { type: 'string' } },
  required: ['event', 'data'],
} as const;
