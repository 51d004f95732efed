import { describe, expect, test } from 'vitest';
import { describeTool } from './description.ts';
import { createTools } from './index.ts';
import { validateInput } from './validate.ts';

const LIMITS = { execTimeoutS: 30, installTimeoutS: 60, maxTimeoutS: 3600, memoryMb: 512, codeLimit: 1024 };
const tools = createTools(LIMITS, (text) => ({ name: text, text }), { servers: () => [], catalog: async () => [] });

/** Arguments that some tool cannot do without. */
const NEEDED: Readonly<Record<string, unknown>> = {
  code: 'print(1)',
  command: 'ls',
  packages: ['six'],
  path: 'a.txt',
  content: 'a',
  execution_id: 'e1',
  signal: 'TERM',
  session_id: 'mine',
};

describe('every tool', () => {
  test.each(tools.map((tool) => [tool.name, tool] as const))(
    'takes null and empty text for its optional arguments as if they were absent: %s',
    (name, tool) => {
      const { properties = {}, required = [] } = describeTool(tool).inputSchema as {
        properties?: object;
        required?: string[];
      };
      const needed = Object.fromEntries(required.map((argument) => [argument, NEEDED[argument]]));
      if (name === 'fork_session') needed['snapshot_id'] = 'snp_1';
      const optional = Object.keys(properties).filter((argument) => !(argument in needed));
      for (const nothing of [null, '']) {
        const given = { ...needed, ...Object.fromEntries(optional.map((argument) => [argument, nothing])) };
        expect(validateInput(tool, given)).toEqual(validateInput(tool, needed));
      }
    },
  );
});
