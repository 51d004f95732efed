/** Size of a terminal. */
export interface ClientTerminalSize {
  readonly rows: number;
  readonly cols: number;
}

/** How a terminal ended. */
export interface ClientTerminalEnd {
  /** Null if its program did not end by itself. */
  readonly exitCode: number | null;
  /** Such as `exited`, `hibernated` or `sandbox_lost`. */
  readonly reason: string;
}

export interface ClientTerminalOptions extends ClientTerminalSize {
  /** Id of one that is open already. Default: a new one. */
  readonly attach?: string | undefined;
  /** Program with its arguments. Default: a shell. */
  readonly command?: readonly string[] | undefined;
  /** Folder to start in. Default: the workspace. */
  readonly cwd?: string | undefined;
  /** Environment variables to add. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** Takes what is printed, in order. The next piece waits for a returned promise. */
  readonly onOutput: (bytes: Uint8Array) => void | Promise<void>;
  /** Called in its place among the output with the number of bytes that are left out. */
  readonly onSkipped: (bytes: number) => void;
  /** Called when the connection broke, and when it is there again. */
  readonly onConnection: (isThere: boolean) => void;
  readonly signal: AbortSignal;
}

/** A terminal that a command shows. */
export interface ClientTerminal {
  readonly id: string;
  /** Whether it goes on when it is left. */
  readonly outlives: boolean;
  /** Its end; undefined if it was left. Rejects with a GloveboxError if it cannot be reached any more. */
  readonly ended: Promise<ClientTerminalEnd | undefined>;
  /** Resolves when there is room for more. */
  type(data: Uint8Array): Promise<void>;
  resize(size: ClientTerminalSize): void;
  /** Leaves it, and what runs in it. */
  leave(): void;
}
