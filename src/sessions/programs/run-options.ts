import type { ExecutionClock } from '../../execution/execution-clock.ts';
import type { ExecutionLimits } from '../../execution/limits-met.ts';
import type { OnEvent } from '../../execution/result.ts';
import type { ClientTools, ToolRequest } from '../../execution/tool-access.ts';

export interface RunLimits extends ExecutionLimits {
  /** Most bytes of each text stream in a result. */
  readonly outputLimit: number;
  /** Most bytes of a longer stream that the session keeps in a file. */
  readonly outputKeepLimit: number;
  /** Most bytes of one display. */
  readonly resultLimit: number;
}

/** Options for every program, code or command. */
export interface ProgramOptions {
  /** Time limit in milliseconds. Default: the setting `exec_timeout_s`, or `max_timeout_s` in the background. */
  readonly timeoutMs?: number | undefined;
  /**
   * Name of a context: an interpreter for code, or a shell for commands, which keeps its variables for later calls. Up to
   * 64 letters, digits, "_" and "-".
   */
  readonly context?: string | undefined;
  /** Whether to reset that context first. */
  readonly resetContext?: boolean | undefined;
  /** Arguments of code, which it finds in `sys.argv` after its own name. A context has none; a command contains its own. */
  readonly args?: readonly string[] | undefined;
  /** Additional environment variables of the program. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** Whether the session was created for this call. Then files that the code misses may be in another session. */
  readonly sessionCreated?: true | undefined;
  /** Clock of the time limit, if it is to stand still at times. */
  readonly clock?: ExecutionClock | undefined;
  /** Names of the servers whose tools it may call. Default: those that its owner has by default. */
  readonly tools?: readonly string[] | undefined;
  /** Ways to a person who can approve its calls of tools, besides those that all executions have. */
  readonly approvals?: ToolRequest['approvals'];
  /** Patterns of hosts that it may reach, such as `api.example.com`. Default: those that its session may reach. */
  readonly web?: readonly string[] | undefined;
}

/** Options for programs that run in the background. */
export interface StartOptions extends ProgramOptions {
  /** The program's whole standard input. Default: empty. */
  readonly stdin?: string | undefined;
  /** Whether standard input stays open for more, with `write` of the execution. A context has no such input. */
  readonly stdinOpen?: boolean | undefined;
}

/** Options for programs that run while their caller waits. */
export interface RunOptions extends ProgramOptions {
  /**
   * The program's standard input: the whole as text, or a stream of bytes, which is read as fast as the program reads and
   * closed when the program ends. A context takes text only. Default: empty.
   */
  readonly stdin?: string | AsyncIterable<Uint8Array> | undefined;
  /** The caller's own tools. */
  readonly clientTools?: ClientTools | undefined;
  /** Called with output and progress as they arrive. */
  readonly onEvent?: OnEvent | undefined;
  /** Whether events of output have its bytes as they were written, instead of text. */
  readonly asBytes?: boolean | undefined;
  /** Cancels the execution. The result then has the status `cancelled`. */
  readonly signal?: AbortSignal | undefined;
}

export function isStream(stdin: RunOptions['stdin']): stdin is AsyncIterable<Uint8Array> {
  return typeof stdin === 'object';
}
