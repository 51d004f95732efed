interface Lifetimes {
  readonly idleTtlS: number;
  readonly hibernateAfterS: number;
  readonly archiveTtlS: number;
  readonly diskMb: number;
}

/** What MCP clients tell their model of this server. With the tools' descriptions it stays under 1 000 tokens. */
export function writeInstructions({ idleTtlS, hibernateAfterS, archiveTtlS, diskMb }: Lifetimes): string {
  const hibernates = hibernateAfterS > 0 && hibernateAfterS < idleTtlS;
  const memory = describeDuration(idleTtlS);
  const files = hibernates ? `${describeDuration(archiveTtlS)}, contexts for ${memory}` : memory;
  return [
    'Glovebox runs untrusted Python in sealed containers.',
    `A session is one container of your own: files in /workspace (${diskMb} MB) and installed packages last until it is unused for ${files}.`,
    'Every result names its session_id; pass that to continue in the same session. Without it you may get a new, empty one.',
    'There is no network: no downloads, no web requests. Each execute_python call is a new process, unless you name a context: that keeps variables. Files come and go by write_file and read_file.',
    'A Python error is a normal result with status "error". A tool error says what to do next.',
    'If a result has session_reset, what it lists as lost is gone: make it again.',
    'After session_not_found, execute_python without session_id begins a new session.',
  ].join('\n');
}

function describeDuration(seconds: number): string {
  if (seconds >= 2 * 86_400) return `${Math.round(seconds / 86_400)} days`;
  return seconds >= 120 ? `${Math.round(seconds / 60)} minutes` : `${Math.round(seconds)} seconds`;
}
