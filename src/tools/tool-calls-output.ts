import { z } from 'zod';

/** Kinds of calls that the text names. */
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

/** Describes calls of tools in one line. Calls of one tool that ended alike are counted, not listed. */
export function describeToolCalls(calls: z.infer<typeof toolCallsOutput>): string | undefined {
  if (!calls || calls.length === 0) return undefined;
  const alike = new Map<string, number[]>();
  for (const { tool, status, ms } of calls) {
    const what = `${tool} ${status}`;
    alike.set(what, [...(alike.get(what) ?? []), ms]);
  }
  const named = [...alike].slice(0, MOST_NAMED).map(([what, times]) => {
    const counted = times.length > 1 ? ` × ${times.length}` : '';
    return `${what}${counted} (${Math.round(times.reduce((sum, ms) => sum + ms, 0))} ms)`;
  });
  const more = alike.size > MOST_NAMED ? [`and ${alike.size - MOST_NAMED} more`] : [];
  return `[tools] ${[...named, ...more].join(', ')}`;
}
