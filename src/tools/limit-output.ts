import { z } from 'zod';
import type { MetLimit } from '../execution/limits-met.ts';

export const limitOutput = z
  .object({
    name: z.string(),
    value: z.union([z.number(), z.string()]),
    setting: z.string(),
    ended: z.literal('a child process').optional().describe('What it ended, if that is not the code itself.'),
  })
  .optional()
  .describe('The limit that it met, and what raises it.');

/** Describes the limit that an execution met. */
export function describeLimit({ name, value, setting, ended }: MetLimit): string {
  return `limit ${name} = ${value}${ended ? `, which ended ${ended}` : ''}; to change it: ${setting}`;
}
