import { z } from 'zod';
import type { ProgramUsage } from '../execution/request.ts';
import { parseSandboxJson } from '../lib/sandbox-json.ts';

const count = z.number().int().nonnegative();
/** What a runner says that an execution has used. It is checked, because it is not trusted. */
const usageSchema = z
  .object({ cpu_ms: z.number().nonnegative(), stdout: count, stderr: count })
  .transform(({ cpu_ms: cpuMs, ...bytes }): ProgramUsage => ({ cpuMs, ...bytes }));

/** Reads what an execution has used. @throws Error when the payload says something else */
export function parseUsage(payload: Buffer): ProgramUsage {
  return usageSchema.parse(parseSandboxJson(payload));
}
