import { z } from 'zod';

/** Entries missing from an archive, because a tar cannot hold them or because they could not be read. */
export interface LeftOut {
  readonly count: number;
  /** Names of the first ones, in the spelling for callers. */
  readonly names: readonly string[];
}

/** Left-out entries as reported by a sandbox. */
export const leftOutSchema = z.object({
  count: z.number().int().nonnegative(),
  names: z.array(z.string().max(16_384)).max(8192),
});

export const NOTHING_LEFT_OUT: LeftOut = { count: 0, names: [] };
