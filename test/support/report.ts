/** The runner's report of a program that printed nothing, changed nothing and ended well. */
export const REPORT = {
  exit_code: 0,
  signal: null,
  oom_killed: false,
  survivors: false,
  error: null,
  files: [],
  cpu_ms: 1,
  peak_memory_bytes: 1,
  stacks: [],
};
