/** Context that the program's entry point gives to each command. */
export interface CommandContext {
  /** Writes a line for people to stderr. Stdout is for scripts and MCP clients. */
  readonly say: (line: string) => void;
  /** Aborts when the process should end. */
  readonly signal: AbortSignal;
  /** The signal of the system that asked the process to end. */
  readonly stoppedBy: () => NodeJS.Signals | undefined;
  /** Called during shutdown after each session, with the number of remaining ones. */
  readonly onEnded: (left: number) => void;
}
