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
      'Did you mean "timeout_s"? Arguments of run: code (string, required), timeout_s (integer), packages (array), session_id (string).',
    );
  });

  test('says at once which argument is unknown and which is missing', () => {
    expect(refusal({ source: 'print(1)' }).message).toBe('run has no argument "source"; needs the argument "code".');
  });

  test.each([
    [undefined, 'run needs the argument "code".'],
    [null, 'run takes an object of arguments, not null.'],
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
});
