import { z } from 'zod';
import { parseSandboxJson } from '../lib/sandbox-json.ts';

const text = z.string().max(1_000_000);
const keptFile = z.object({
  path: z.string().max(200),
  bytes: z.number().int().nonnegative(),
  /** Bytes of the whole stream. */
  total: z.number().int().nonnegative().optional(),
});

/** The runner's report of an ended execution, checked like any hostile input. */
const reportSchema = z.union([
  z.object({
    /** Null when a signal ended the program. */
    exit_code: z.number().int().min(0).max(255).nullable(),
    signal: z.number().int().min(0).max(127).nullable(),
    /** Whether the memory limit ended a process of it, as far as that can be told from those of others. */
    oom_killed: z.boolean(),
    /** Whether processes of the execution may still run. */
    survivors: z.boolean(),
    error: z
      .object({
        name: text,
        value: text,
        traceback: text,
        /** The limit of the sandbox that stands behind it. */
        denied: z.string().max(64).optional(),
        /** What kind of advice helps: "notebook" for a script in the syntax of notebooks, and others of `error_hints.py`. */
        hint: z.string().max(64).optional(),
        /** The module that an import has not found, and the package that brings it. */
        missing: z.object({ module: text, package: text, known: z.boolean() }).optional(),
      })
      .nullable(),
    files: z.array(z.object({ path: z.string().max(16_384), size: z.number().int().nonnegative() })).max(1000),
    /** Whether it changed files in `/tmp`, which are not among those. */
    tmp_changed: z.boolean().optional(),
    cpu_ms: z.number().nonnegative(),
    peak_memory_bytes: z.number().int().nonnegative(),
    /** Frames of each thread when it was interrupted; the innermost last. */
    stacks: z.array(z.object({ thread: z.string().max(200), frames: z.array(z.string().max(1000)).max(100) })).max(100),
    /** Whether the context that it ran in lives on. */
    context_alive: z.boolean().optional(),
    /** Whether it was the first to run in that context. */
    context_created: z.boolean().optional(),
    /** The files that long output is in, whole. */
    kept: z.object({ stdout: keptFile.optional(), stderr: keptFile.optional() }).optional(),
  }),
  /** The program could not be started; nothing of it has run. */
  z.object({ refused: z.string().max(4096) }),
  /** The program's supervisor was killed, and the program may still run. */
  z.object({ failed: z.string().max(4096) }),
]);

export type KeptFile = z.infer<typeof keptFile>;
export type Report = z.infer<typeof reportSchema>;
/** The report of a program which has run and ended. */
export type FullReport = Exclude<Report, { failed: string } | { refused: string }>;

/** @throws Error when the payload is not a report. */
export function parseReport(payload: Buffer): Report {
  return reportSchema.parse(parseSandboxJson(payload));
}
