import { z } from 'zod';
import { parseSandboxJson } from '../lib/sandbox-json.ts';

const text = z.string().max(1_000_000);
const keptFile = z.object({
  path: z.string().max(200),
  bytes: z.number().int().nonnegative(),
  /** Size of the whole stream in bytes. */
  total: z.number().int().nonnegative().optional(),
});

const runningProcess = z.object({
  pid: z.number().int().positive(),
  parent: z.number().int().nonnegative(),
  /** Beginning of its command line. */
  command: z.string().max(1000),
  state: z.string().max(40),
  cpu_ms: z.number().nonnegative(),
});

/** The runner's report of an ended execution, checked like any hostile input. */
const reportSchema = z.union([
  z.object({
    /** Null when a signal ended the program. */
    exit_code: z.number().int().min(0).max(255).nullable(),
    signal: z.number().int().min(0).max(127).nullable(),
    /** Whether the memory limit ended one of its processes. It may be uncertain to which execution a process belonged. */
    oom_killed: z.boolean(),
    /** Whether processes of the execution may still run. */
    survivors: z.boolean(),
    error: z
      .object({
        name: text,
        value: text,
        traceback: text,
        /** Limit of the sandbox that caused it. */
        denied: z.string().max(64).optional(),
        /** Kind of advice that helps, as named by `error_hints.py`. Example: "notebook" for notebook syntax in a script. */
        hint: z.string().max(64).optional(),
        /** Module that an import did not find, and the package that provides it. */
        missing: z.object({ module: text, package: text, known: z.boolean() }).optional(),
      })
      .nullable(),
    files: z.array(z.object({ path: z.string().max(16_384), size: z.number().int().nonnegative() })).max(1000),
    /** Whether it changed files in `/tmp`. `files` does not list them. */
    tmp_changed: z.boolean().optional(),
    cpu_ms: z.number().nonnegative(),
    peak_memory_bytes: z.number().int().nonnegative(),
    /** Stack frames of each thread when it was interrupted, the innermost last. */
    stacks: z.array(z.object({ thread: z.string().max(200), frames: z.array(z.string().max(1000)).max(100) })).max(100),
    /** Whether its context is still alive. */
    context_alive: z.boolean().optional(),
    /** Whether it was the first execution in its context. */
    context_created: z.boolean().optional(),
    /** Modules of the image that it imported, or found loaded because it was expected to import them. */
    imported: z.array(z.string().max(100)).max(1000).optional(),
    /** Whether it was a command. */
    command: z.boolean().optional(),
    /** Processes of a command when it was interrupted, parents before children. */
    processes: z.array(runningProcess).max(100).optional(),
    /** Names of the programs that a command could have found, if a shell has not found one. */
    commands: z.array(z.string().max(64)).max(4000).optional(),
    /** Files that hold long output in full. */
    kept: z.object({ stdout: keptFile.optional(), stderr: keptFile.optional() }).optional(),
  }),
  /** The program could not be started, and none of it has run. */
  z.object({ refused: z.string().max(4096), context_is: z.enum(['shell', 'interpreter']).optional() }),
  /** The program's supervisor was killed, and the program may still run. */
  z.object({ failed: z.string().max(4096) }),
]);

/** A process as the sandbox saw it. */
export type SeenProcess = Readonly<z.infer<typeof runningProcess>>;
export type KeptFile = z.infer<typeof keptFile>;
export type Report = z.infer<typeof reportSchema>;
/** Report of a program that has run and ended. */
export type FullReport = Exclude<Report, { failed: string } | { refused: string }>;

/** Reads a report. @throws Error when the payload is not a report */
export function parseReport(payload: Buffer): Report {
  return reportSchema.parse(parseSandboxJson(payload));
}
