import { z } from 'zod';

/** What an archive does not have of a session or a folder, because no tar could, or because it could not be read. */
export interface LeftOut {
  readonly count: number;
  /** The first of them, as names are spelled for callers. */
  readonly names: readonly string[];
}

/** What a sandbox says it has left out. */
export const leftOutSchema = z.object({
  count: z.number().int().nonnegative(),
  names: z.array(z.string().max(16_384)).max(8192),
});

export const NOTHING_LEFT_OUT: LeftOut = { count: 0, names: [] };
