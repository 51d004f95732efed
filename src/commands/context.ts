/** What the entry of the program gives to each command. */
export interface CommandContext {
  /** Writes a line for people, on stderr: stdout belongs to what scripts and MCP clients read. */
  readonly say: (line: string) => void;
  /** Aborts when the process is asked to end. */
  readonly signal: AbortSignal;
  /** Hears during a shutdown, after each session, how many are left. */
  readonly onEnded: (left: number) => void;
}
