import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { GloveboxError } from '../errors.ts';
import { describeTool } from './description.ts';
import type { Tool } from './tool.ts';
import { validateInput } from './validate.ts';

interface Input {
  code: string;
  timeout_s?: number | undefined;
  packages?: string[] | undefined;
  quiet?: boolean | undefined;
  env?: Record<string, string> | undefined;
  session_id?: string | undefined;
}

const tool: Tool<Input> = {
  name: 'run',
  title: 'Run',
  description: 'Runs.',
  effect: 'changes',
  input: z.strictObject({
    code: z.string(),
    timeout_s: z.number().int().max(60).optional(),
    packages: z.array(z.string()).optional(),
    quiet: z.boolean().optional(),
    env: z.record(z.string(), z.string()).optional(),
    session_id: z.string().optional(),
  }),
  output: z.strictObject({ session_id: z.string() }),
  handle: async () => ({ session_id: 'gbx_1' }),
  summarize: () => '',
};

function refusal(given: unknown): GloveboxError {
  try {
    validateInput(tool, given);
  } catch (thrown) {
    if (thrown instanceof GloveboxError) return thrown;
  }
  throw new Error('It was accepted.');
}

describe('validateInput', () => {
  test('gives back what the schema parsed', () => {
    expect(validateInput(tool, { code: 'a\0\ud800' })).toEqual({ code: 'a\0\ud800' });
  });

  test('names the nearest and all expected arguments for an unknown one', () => {
    const error = refusal({ code: '', timeout: 3 });
    expect(error).toMatchObject({ code: 'invalid_input', message: 'run has no argument "timeout".' });
    expect(error.hint).toBe(
      'Did you mean "timeout_s"? Arguments of run: code (string, required), timeout_s (integer), packages (array), quiet (boolean), env (object), session_id (string).',
    );
  });

  test('says at once which argument is unknown and which is missing', () => {
    expect(refusal({ source: 'print(1)' }).message).toBe('run has no argument "source"; needs the argument "code".');
  });

  test.each([
    [undefined, 'run needs the argument "code".'],
    [null, 'run needs the argument "code".'],
    [{ code: null }, 'run cannot use "code": invalid input: expected string, received null.'],
    [['print(1)'], 'run takes an object of arguments, not an array.'],
    ['print(1)', 'run takes an object of arguments, not a string.'],
    [{ code: 1 }, 'run cannot use "code": invalid input: expected string, received number.'],
    [
      { code: '', packages: ['a', 2] },
      'run cannot use "packages[1]": invalid input: expected string, received number.',
    ],
  ])('of %j says: %s', (given, message) => {
    expect(refusal(given).message).toBe(message);
  });

  test.each([
    [{ timeout_s: null, packages: null, session_id: null, quiet: null, env: null }, {}],
    [{ timeout_s: '', packages: '', session_id: '', quiet: '', env: '' }, {}],
    [{ timeout_s: ' 30 ' }, { timeout_s: 30 }],
    [{ timeout_s: '3e1' }, { timeout_s: 30 }],
    [{ quiet: 'True' }, { quiet: true }],
    [{ quiet: '0' }, { quiet: false }],
    [{ packages: 'uvicorn[standard]' }, { packages: ['uvicorn[standard]'] }],
    [{ packages: '["a", "b"]' }, { packages: ['a', 'b'] }],
    [{ packages: "['a', 'b',]" }, { packages: ['a', 'b'] }],
    [{ env: { A: 5, B: -0.5, C: 'c', D: null } }, { env: { A: '5', B: '-0.5', C: 'c' } }],
    [{ env: '{"A": 5}' }, { env: { A: '5' } }],
    [{ env: ['A=1', 'B=x=y'] }, { env: { A: '1', B: 'x=y' } }],
  ])(
    'takes null and empty text of optional arguments as absent, and text where it has exactly one reading: %j',
    (given, read) => {
      expect(validateInput(tool, { code: 'x', ...given })).toEqual({ code: 'x', ...read });
      expect(validateInput(tool, JSON.stringify({ code: 'x', ...given }))).toEqual({ code: 'x', ...read });
    },
  );

  test.each([
    [{ timeout_s: '30s' }, 'timeout_s'],
    [{ timeout_s: '0x1e' }, 'timeout_s'],
    [{ timeout_s: '9007199254740993' }, 'timeout_s'],
    [{ timeout_s: true }, 'timeout_s'],
    [{ quiet: 'yes' }, 'quiet'],
    [{ packages: 5 }, 'packages'],
    [{ packages: [null] }, 'packages[0]'],
    [{ env: { A: true } }, 'env.A'],
    [{ env: { A: 1e21 } }, 'env.A'],
    [{ env: ['A=1', 'A=2'] }, 'env'],
    [{ env: ['A'] }, 'env'],
  ])('guesses nothing where there is more than one reading: %j', (given, name) => {
    expect(refusal({ code: 'x', ...given }).message).toMatch(`cannot use "${name}"`);
  });

  test('treats names of object prototypes as any other', () => {
    expect(refusal(JSON.parse('{"code": "", "__proto__": {}, "constructor": 1}')).message).toBe(
      'run has no argument "__proto__"; has no argument "constructor".',
    );
  });

  test('stays short and quick whatever it is sent', () => {
    const many = Object.fromEntries(Array.from({ length: 5000 }, (_, at) => [`${at}${'x'.repeat(200)}`, at]));
    const error = refusal({ ...many, ['y'.repeat(1_000_000)]: 1 });
    expect(error.message.length).toBeLessThan(1000);
    expect(error.message).toContain('and 4998 more');
  });
});

describe('describeTool', () => {
  test('is made once, and leaves out what zod says only for itself', () => {
    const described = describeTool(tool);
    expect(describeTool(tool)).toBe(described);
    expect(described.inputSchema).not.toHaveProperty('$schema');
    expect(described.inputSchema).toMatchObject({
      additionalProperties: false,
      properties: { timeout_s: { type: 'integer', maximum: 60 } },
    });
    expect(JSON.stringify(described.inputSchema)).not.toContain('-9007199254740991');
  });

  test('lets a later server answer with more fields than a client knows', () => {
    expect(describeTool(tool).outputSchema).not.toHaveProperty('additionalProperties');
  });

  test.each([
    ['reads', { readOnlyHint: true, destructiveHint: false, idempotentHint: true, openWorldHint: false }],
    ['changes', { readOnlyHint: false, destructiveHint: true, idempotentHint: false, openWorldHint: false }],
  ] as const)('annotates a tool that %s', (effect, annotations) => {
    expect(describeTool({ ...tool, effect }).annotations).toMatchObject(annotations);
  });

  test('asks strict clients for nothing that they refuse or drop', () => {
    const strict = describeTool({
      ...tool,
      input: z.strictObject({
        code: z.string().min(1).max(10),
        variables: z.record(z.string().regex(/^[A-Z]+$/), z.string()).optional(),
        deep: z.array(z.string().min(1)).optional(),
      }) as never,
    });
    expect(strict.inputSchema).toMatchObject({
      properties: {
        code: { type: 'string' },
        variables: { type: 'array', items: { type: 'string' } },
        deep: { type: 'array', items: { type: 'string' } },
      },
      additionalProperties: false,
    });
    expect(JSON.stringify(strict)).not.toMatch(/minLength|maxLength|propertyNames|exclusive/);
  });
});
