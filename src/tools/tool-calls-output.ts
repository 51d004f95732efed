import { z } from 'zod';

/** Calls that the text names one by one. */
const MOST_NAMED = 20;

/** Calls of tools that code made: field of the output of `execute_python`. */
export const toolCallsOutput = z
  .array(
    z.object({
      n: z.number().int().describe('Its number, from 1.'),
      tool: z.string().describe('server.tool'),
      ms: z.number(),
      status: z.string().describe('"ok", or the code of its failure.'),
      bytes: z.number().int().describe('Size of what the code got.'),
    }),
  )
  .optional()
  .describe('Calls of tools that the code made; at most 200.');

/** Describes calls of tools in one line. */
export function describeToolCalls(calls: z.infer<typeof toolCallsOutput>): string | undefined {
  if (!calls || calls.length === 0) return undefined;
  const named = calls.slice(0, MOST_NAMED).map(({ tool, status, ms }) => `${tool} ${status} (${ms} ms)`);
  const more = calls.length > MOST_NAMED ? [`and ${calls.length - MOST_NAMED} more`] : [];
  return `[tools] ${[...named, ...more].join(', ')}`;
}
