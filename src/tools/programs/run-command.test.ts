import { describe, expect, test } from 'vitest';
import { describeTool } from '../description.ts';
import { validateInput } from '../validate.ts';
import { createRunCommand } from './run-command.ts';

const LIMITS = { execTimeoutS: 30, maxTimeoutS: 3600, memoryMb: 512, codeLimit: 300_000 };
const tool = createRunCommand(LIMITS);

describe('the arguments of run_command', () => {
  test.each([
    [{ command: 'ls -l' }],
    [{ command: ['ls', '-l', ''] }],
    [{ command: 'ls', cwd: 'data', env: { PYTHONINSPECT: '1' }, stdin: 'a', timeout_s: 5, background: true }],
  ])('are taken: %j', (input) => {
    expect(validateInput(tool, input)).toEqual(input);
  });

  test.each([
    [{}, 'command'],
    [{ command: 'ls', args: ['a'] }, 'args'],
    [{ command: 'ls', context: 'a b' }, 'name'],
    [{ command: 'ls', reset_context: true }, 'no context named'],
    [{ command: '' }, 'command'],
    [{ command: ' ' }, 'empty'],
    [{ command: [] }, 'empty'],
    [{ command: 'a\0' }, 'NUL'],
    [{ command: ['a', 'b\0'] }, 'NUL'],
    [{ command: ['a', 'x'.repeat(131_072)] }, '131071'],
    [{ command: Array.from({ length: 4097 }, () => 'a') }, '4096'],
    [{ command: ['a', ...Array.from({ length: 4 }, () => 'x'.repeat(100_000))] }, '300000'],
    [{ command: 'x'.repeat(300_001) }, '300000'],
    [{ command: 'a', cwd: 'a\0b' }, 'NUL'],
    [{ command: 'a', timeout_s: 3601 }, '3600'],
  ])('are refused: %#', (input, why) => {
    expect(() => validateInput(tool, input)).toThrow(why);
  });

  test('are described without what there is not', () => {
    const { inputSchema, outputSchema } = describeTool(tool);
    expect(inputSchema['properties']).not.toHaveProperty('tools');
    expect(describeTool(createRunCommand({ ...LIMITS, hasTools: true })).inputSchema['properties']).toHaveProperty(
      'tools',
    );
    expect(outputSchema['properties']).not.toHaveProperty('results');
  });
});
