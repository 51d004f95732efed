import { z } from 'zod';
import { spellSentPath } from '../files/file-names.ts';

/** Fields that the tools for files have in common. */

export const filePathInput = z
  .string()
  .min(1)
  .max(4096)
  .overwrite(spellSentPath)
  .refine((path) => path.isWellFormed(), 'a path is valid Unicode; a byte that is not UTF-8 is written as \\xff')
  .describe('Path in the session, such as "data/a.csv"; relative to /workspace.');
