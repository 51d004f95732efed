import { z } from 'zod';

/** Fields that the tools for files have in common. */

export const filePathInput = z
  .string()
  .min(1)
  .max(4096)
  .describe('Path in the session, such as "data/a.csv"; relative to /workspace.');
