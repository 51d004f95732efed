import { z } from 'zod';
import { parseSandboxJson } from '../lib/sandbox-json.ts';

const text = z.string().max(1000);
const texts = z.array(text).max(100);
const figure = z.number();
const limit = text.nullable();

/** What the program of a probe prints, checked like all that comes out of a sandbox. */
const reportSchema = z.object({
  users: z.array(z.number().int()).max(100),
  capabilities: z.record(text, text),
  no_new_privileges: z.boolean(),
  /** Mode of the system call filter: `2` with one. */
  seccomp: limit,
  /** How calls ended that a filter refuses. */
  calls: z.record(text, text),
  /** Contents of the files of control groups. Null for a file that is not there. */
  limits: z.object({
    ...{ memory: limit, swap: limit, memory_and_swap: limit, pids: limit, cpu: limit },
    /** `1` where the kernel ends all processes of a sandbox together when its memory runs out. */
    group_end: limit,
  }),
  swap_kib: figure,
  processors: figure,
  disks: z.record(
    text,
    z.object({ bytes: figure, inodes: figure, uid: figure, mode: figure, writable: z.boolean() }).nullable(),
  ),
  writable: texts,
  shown: texts,
  interfaces: texts,
  routes: texts,
  name_servers: texts,
  rlimits: z.record(text, figure),
  /** Lowest `oom_score_adj` that code can give itself. Null if the kernel does not tell. */
  oom_score: figure.nullable(),
  others: z.array(z.object({ process: figure, done: texts })).max(100),
  /** The main process, where it has the user of the code: what can be done to it, and its state after signals. */
  main: z.object({ uid: figure.nullable(), done: texts, state: limit }).nullable(),
  /** How it ended to put more on a disk than it has. */
  full: z.record(text, text),
  /** How tries to reach addresses ended, by protocol, host and port. */
  tries: z.record(text, text),
  /** Processes that could be started, and the error that ended that. Null if it was not tried. */
  flood: z.object({ started: figure, refused: limit }).nullable(),
  /** Bytes that could be taken, and whether the taker was ended. Null if it was not tried. */
  taking: z.object({ taken: figure, ended: z.boolean() }).nullable(),
});

export type ProbeReport = z.infer<typeof reportSchema>;

/** Reads a report. @throws Error when the text is no report */
export function parseProbeReport(output: string): ProbeReport {
  return reportSchema.parse(parseSandboxJson(output));
}
