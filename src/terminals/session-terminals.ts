import { GloveboxError } from '../errors.ts';
import type { SandboxReset } from '../execution/request.ts';
import { randomId } from '../lib/random-id.ts';
import { type RunTerminal, Terminal, type TerminalRequest } from './terminal.ts';
import type { EndReason, TerminalEnd, TerminalSize } from './viewer.ts';

/** Number of ended terminals of a session that are still known, with the end of what they printed. */
const MOST_ENDED = 4;
/** Rows or columns of the largest terminal. */
const MOST_SIZE = 1000;
/** Longest time of a timer of Node, in milliseconds. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;
const LONGEST_COMMAND = 128 * 1024;
const LONGEST_PATH = 4096;

/** Ends that a session has not brought about itself: callers are told of them as of other losses. */
const LOSSES: readonly SandboxReset['reason'][] = [
  'hibernated',
  'sandbox_lost',
  'runner_lost',
  'connection_lost',
  'server_stopped',
];

export interface TerminalLimits {
  /** Number of terminals that may be open at once in one session. */
  readonly terminals: number;
  /** Seconds without a viewer after which a terminal ends. */
  readonly terminalIdleS: number;
  /** Seconds that a container may live. */
  readonly maxLifetimeS: number;
}

export interface SessionTerminalsOptions {
  readonly limits: TerminalLimits;
  readonly run: RunTerminal;
  /** Holds the session open until disposed of. */
  readonly hold: () => Disposable;
  /** Called when the set of live terminals has changed. */
  readonly onChange: () => void;
}

/** Terminal as a list shows it. */
export interface ListedTerminal {
  readonly id: string;
  readonly startedAt: Date | undefined;
  readonly end: TerminalEnd | undefined;
}

/** The terminals of one session. */
export class SessionTerminals {
  readonly #options: SessionTerminalsOptions;
  /** The newest last. */
  readonly #terminals = new Map<string, Terminal>();
  /** Those of an earlier control plane, with what became of them. */
  readonly #former = new Map<string, TerminalEnd>();
  /** Why terminals were lost of which no caller was told, by their ids. */
  readonly #untold = new Map<string, SandboxReset['reason']>();

  constructor(options: SessionTerminalsOptions) {
    this.#options = options;
  }

  /** Ids of those that have not ended. */
  get live(): string[] {
    return this.list().flatMap(({ id, end }) => (end ? [] : [id]));
  }

  /** Ids to record for the next control plane, which tells of their loss: the live ones, and those lost without a word. */
  get recorded(): string[] {
    return [...this.live, ...this.#untold.keys()];
  }

  /** The loss of terminals that no caller was told of. */
  get loss(): SandboxReset | undefined {
    const reason = [...this.#untold.values()].at(-1);
    return reason && { reason, lost: ['terminals'] };
  }

  /** Records that a caller was told of the loss. */
  told(): void {
    if (this.#untold.size === 0) return;
    this.#untold.clear();
    this.#options.onChange();
  }

  list(): ListedTerminal[] {
    const former = [...this.#former].map(([id, end]) => ({ id, startedAt: undefined, end }));
    return [...former, ...this.#terminals.values()];
  }

  /** @throws GloveboxError `terminal_not_found`, which tells what became of one that was lost */
  get(id: string): Terminal {
    const terminal = this.#terminals.get(id);
    if (terminal) return terminal;
    if (this.#former.has(id))
      throw new GloveboxError('terminal_not_found', `The terminal ${id} was lost when the server stopped.`, {
        hint: 'Open another one. The files of the session are as the terminal left them.',
      });
    throw new GloveboxError('terminal_not_found', `There is no terminal ${JSON.stringify(id.slice(0, 64))}.`);
  }

  /**
   * Opens a terminal. Resolves when it is on its way to the sandbox.
   * @throws GloveboxError `invalid_input`, `session_busy` when too many are open; as `run` does
   */
  async open(request: TerminalRequest): Promise<Terminal> {
    checkRequest(request);
    const { limits, run, hold, onChange } = this.#options;
    const id = `trm_${randomId(9)}`;
    if (this.live.length >= limits.terminals) throw tooMany(limits.terminals);
    this.#forgetOldest();
    const terminal = new Terminal(id, request, {
      ...{ run, hold, idleMs: Math.min(limits.terminalIdleS * 1000, LONGEST_TIMER_MS) },
      onEnd: (end) => this.#onEnd(id, end),
      longestMs: Math.min(limits.maxLifetimeS * 1000, LONGEST_TIMER_MS),
    });
    this.#terminals.set(id, terminal);
    try {
      await terminal.begun;
    } catch (error) {
      this.#terminals.delete(id);
      this.#untold.delete(id);
      throw error;
    }
    onChange();
    return terminal;
  }

  /** Has all end. */
  closeAll(reason: EndReason): void {
    for (const terminal of this.#terminals.values()) if (!terminal.end) terminal.close(reason);
  }

  /** Records that all are gone with the sandbox, or go with it. Returns whether there were any. */
  loseAll(reason: EndReason): boolean {
    const lost = [...this.#terminals.values()].filter(({ end }) => !end);
    for (const terminal of lost) terminal.lose(reason);
    return lost.length > 0;
  }

  /** Records those of an earlier control plane, which have ended with it. */
  recover(ids: readonly string[]): void {
    for (const id of ids) {
      this.#former.set(id, { exitCode: null, reason: 'server_stopped' });
      this.#untold.set(id, 'server_stopped');
    }
  }

  #onEnd(id: string, end: TerminalEnd): void {
    const reason = LOSSES.find((loss) => loss === end.reason);
    if (reason) this.#untold.set(id, reason);
    this.#options.onChange();
  }

  #forgetOldest(): void {
    const ended = [...this.#terminals.values()].filter(({ end }) => end);
    for (const { id } of ended.slice(0, Math.max(0, ended.length - MOST_ENDED + 1))) this.#terminals.delete(id);
  }
}

/** Whether a terminal may have so many rows and columns. */
export function isSize(size: { readonly rows: unknown; readonly cols: unknown }): size is TerminalSize {
  return [size.rows, size.cols].every(
    (value) => Number.isInteger(value) && 1 <= Number(value) && Number(value) <= MOST_SIZE,
  );
}

export function badSize(): GloveboxError {
  return new GloveboxError('invalid_input', `A terminal has 1 to ${MOST_SIZE} rows and columns.`, {
    hint: 'Send "rows" and "cols" as whole numbers, such as 24 and 80.',
  });
}

function checkRequest({ rows, cols, command, cwd }: TerminalRequest): void {
  if (!isSize({ rows, cols })) throw badSize();
  const words = command === undefined ? [] : typeof command === 'string' ? [command] : command;
  const isText = (text: string, most: number) => text.length <= most && !text.includes('\0') && text.isWellFormed();
  const isCommand = words.every((word) => isText(word, LONGEST_COMMAND)) && (command === undefined || words[0] !== '');
  if (!isCommand || (command !== undefined && words.length === 0))
    throw new GloveboxError('invalid_input', 'The command is empty, too long, or holds a NUL character.');
  if (cwd !== undefined && !isText(cwd, LONGEST_PATH))
    throw new GloveboxError('invalid_input', 'The folder of the terminal is no path.');
}

function tooMany(limit: number): GloveboxError {
  const message =
    limit === 0
      ? 'This server opens no terminals.'
      : `${limit} terminals are open in this session, and no more may be.`;
  return new GloveboxError('session_busy', message, {
    hint:
      limit === 0
        ? 'Ask the operator to raise GLOVEBOX_TERMINALS.'
        : 'End one of them, or attach to it: DELETE /sessions/{id}/terminals/{terminal}, or GET …/attach.',
  });
}
