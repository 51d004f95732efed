import { z } from 'zod';
export const resultsOutput = z.array(z.record(z.string(), z.unknown())).optional();
export function summarizeResults(_results: unknown): string {
  return '';
}
