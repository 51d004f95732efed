import type { Context } from 'hono';
import { GloveboxError } from '../../errors.ts';
import { badSize, isSize } from '../../terminals/session-terminals.ts';
import type { TerminalRequest } from '../../terminals/terminal.ts';
import { parseJsonObject } from '../json.ts';
import type { Env } from '../route.ts';

const SIZE = { type: 'integer', minimum: 1, maximum: 1000 };
const FIELDS = ['rows', 'cols', 'command', 'cwd', 'env'];
const EXAMPLE = '{"rows": 24, "cols": 80}';
const VARIABLE_NAME = /^[A-Za-z_][A-Za-z0-9_]{0,127}$/;

/** Schema of the body. */
export const newTerminal = {
  type: 'object',
  properties: {
    rows: { ...SIZE, default: 24 },
    cols: { ...SIZE, default: 80 },
    command: {
      description: 'A line for a shell, or a program with its arguments. Default: an interactive shell.',
      oneOf: [{ type: 'string' }, { type: 'array', items: { type: 'string' }, minItems: 1 }],
    },
    cwd: { type: 'string', description: 'Folder to start in. Default: the workspace.' },
    env: { type: 'object', additionalProperties: { type: 'string' }, description: 'Variables to add.' },
  },
  additionalProperties: false,
};

/** Reads what terminal is to be opened. @throws GloveboxError `invalid_input` */
export function readRequest(c: Context<Env>): TerminalRequest {
  const body = c.var.body.trim() === '' ? {} : parseJsonObject(c.var.body, FIELDS, EXAMPLE);
  const { rows = 24, cols = 80, command, cwd, env } = body;
  const size = { rows, cols };
  if (!isSize(size)) throw badSize();
  if (command !== undefined && typeof command !== 'string' && !isTexts(command))
    throw new GloveboxError('invalid_input', 'The field "command" must be a string, or a list of strings.');
  if (cwd !== undefined && typeof cwd !== 'string')
    throw new GloveboxError('invalid_input', 'The field "cwd" must be a string.');
  if (env !== undefined && !isVariables(env))
    throw new GloveboxError('invalid_input', 'The field "env" must be an object of strings, by names of variables.');
  return {
    ...size,
    ...(command === undefined ? {} : { command }),
    ...(cwd === undefined ? {} : { cwd }),
    ...(env === undefined ? {} : { env }),
  };
}

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}

function isVariables(value: unknown): value is Record<string, string> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  return Object.entries(value).every(
    ([name, text]) => VARIABLE_NAME.test(name) && typeof text === 'string' && !text.includes('\0'),
  );
}

/** Reads the offset from which a terminal is to be shown. @throws GloveboxError `invalid_input` */
export function readFrom(c: Context<Env>): number | undefined {
  const text = c.req.query('from');
  if (text === undefined) return undefined;
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new GloveboxError('invalid_input', '"from" must be a number of bytes.', {
    hint: 'Send the offset of the first byte that you have not seen, or leave it out.',
  });
}
