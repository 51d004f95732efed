import type { ExecutionEnd, ExecutionRequest, OutputSink } from '../execution/request.ts';
import { InputQueue } from './input-queue.ts';
import { Scrollback } from './scrollback.ts';
import { type EndReason, type TerminalEnd, type TerminalSize, Viewer, type ViewerSink } from './viewer.ts';

/** Bytes of the scrollback of a terminal. */
export const SCROLLBACK_BYTES = 1024 * 1024;
/** Bytes of it that are kept after the end of the terminal. */
const KEPT_BYTES = 128 * 1024;
/** Bytes that may be printed beyond what the fastest viewer has taken. */
const AHEAD_BYTES = 128 * 1024;
/** Interval in milliseconds at which output is taken that nobody looks at, once it fills the scrollback. */
const UNSEEN_EVERY_MS = 250;

/** Size of a terminal, and what runs in it. */
export interface TerminalRequest extends TerminalSize, Pick<ExecutionRequest, 'command' | 'cwd' | 'env'> {}

/** Runs a request to its end. */
export type RunTerminal = (
  request: ExecutionRequest,
  options: {
    /** Id of the terminal. */
    readonly id: string;
    readonly stdin: AsyncIterable<Buffer>;
    readonly onOutput: OutputSink;
    readonly onSent: () => void;
    readonly signal: AbortSignal;
    readonly timeoutMs: number;
  },
) => Promise<ExecutionEnd>;

export interface TerminalHost {
  readonly run: RunTerminal;
  /** Holds the session open until disposed of. */
  readonly hold: () => Disposable;
  /** Time in milliseconds without a viewer after which it ends, and without a key or output after which it holds nothing. */
  readonly idleMs: number;
  /** Time in milliseconds for which it may live: no longer than its session. */
  readonly longestMs: number;
  readonly onEnd: (end: TerminalEnd) => void;
}

/** A PTY in a sandbox, with what it printed last and those who look at it. It goes on when nobody does. */
export class Terminal {
  readonly id: string;
  readonly startedAt = new Date();
  /** Settles when it has begun, or with the reason why it could not. */
  readonly begun: Promise<void>;
  readonly command: TerminalRequest['command'];
  readonly #host: TerminalHost;
  readonly #scrollback = new Scrollback(SCROLLBACK_BYTES);
  readonly #input = new InputQueue();
  readonly #viewers = new Set<Viewer>();
  readonly #stop = new AbortController();
  readonly #idle: NodeJS.Timeout;
  #rows: number;
  #cols: number;
  #end: TerminalEnd | undefined;
  /** Why it is being ended. */
  #reason: EndReason | undefined;
  /** Offset up to which some viewer has taken the output. */
  #seen = 0;
  /** Resolves when output may go on. */
  #room: PromiseWithResolvers<void> | undefined;
  #roomTimer: NodeJS.Timeout | undefined;
  #held: Disposable | undefined;

  constructor(id: string, request: TerminalRequest, host: TerminalHost) {
    const { rows, cols, command, cwd, env } = request;
    this.id = id;
    this.command = command;
    this.#rows = rows;
    this.#cols = cols;
    this.#host = host;
    this.#idle = setTimeout(() => this.#onIdle(), host.idleMs);
    this.#idle.unref();
    const sent = Promise.withResolvers<void>();
    const running = host.run(
      {
        ...{ kind: 'terminal', rows, cols, stdin_stream: true },
        ...(command === undefined ? {} : { command }),
        ...(cwd === undefined ? {} : { cwd }),
        ...(env === undefined ? {} : { env }),
      },
      {
        ...{ id, stdin: this.#input.frames(), onOutput: this.#take, onSent: sent.resolve, signal: this.#stop.signal },
        timeoutMs: host.longestMs,
      },
    );
    this.begun = Promise.race([sent.promise, running.then(() => {})]);
    running.then((end) => this.#settle(toEnd(end, this.#reason))).catch(() => this.#settle(toFailure(this.#reason)));
  }

  get size(): TerminalSize {
    return { rows: this.#rows, cols: this.#cols };
  }

  get end(): TerminalEnd | undefined {
    return this.#end;
  }

  get viewers(): number {
    return this.#viewers.size;
  }

  /** Number of bytes that it has printed. */
  get printed(): number {
    return this.#scrollback.end;
  }

  /**
   * Shows it to one more viewer, until disposed of.
   * @param from offset of the first byte to send; default: the oldest that is kept
   */
  attach(sink: ViewerSink, from: number = this.#scrollback.start): Disposable {
    const live = this.#scrollback.end;
    const offset = Math.min(from, live);
    const viewer: Viewer = new Viewer(sink, this.#scrollback, offset, () => this.#onProgress(viewer));
    void viewer.tell({ type: 'attached', offset, live, ...this.size });
    if (this.#end) viewer.end(this.#end);
    else {
      this.#viewers.add(viewer);
      this.#active();
      viewer.wake();
      this.#makeRoom();
    }
    return {
      [Symbol.dispose]: () => {
        viewer.close();
        if (!this.#viewers.delete(viewer)) return;
        this.#makeRoom();
        if (this.#viewers.size === 0) this.#release();
        if (!this.#end) this.#idle.refresh();
        this.#trim();
      },
    };
  }

  /** Types. Returns a promise if more has to wait, which resolves when there is room again. */
  type(data: Buffer): Promise<void> | undefined {
    this.#active();
    return this.#input.type(data);
  }

  resize({ rows, cols }: TerminalSize): void {
    if (this.#end || (rows === this.#rows && cols === this.#cols)) return;
    this.#rows = rows;
    this.#cols = cols;
    this.#input.resize(rows, cols);
    for (const viewer of this.#viewers) viewer.resize({ rows, cols });
  }

  /** Has its program end: as if its window was closed, then by ever stronger means. */
  close(reason: EndReason): void {
    this.#reason ??= reason;
    this.#stop.abort();
  }

  /** Records that it is gone with its sandbox, or goes with it. */
  lose(reason: EndReason): void {
    this.#settle({ exitCode: null, reason });
  }

  readonly #take: OutputSink = (stream, chunk) => {
    // Its program has but one screen. What is on stderr comes from the runner, if anything does.
    if (stream === 'display' || this.#end) return undefined;
    this.#scrollback.append(chunk);
    if (this.#viewers.size > 0) this.#active();
    for (const viewer of this.#viewers) viewer.wake();
    return this.#pressure();
  };

  /** Returns a promise if the program has to wait before it may print more. */
  #pressure(): Promise<void> | undefined {
    if (this.#hasRoom()) return undefined;
    this.#room ??= Promise.withResolvers<void>();
    this.#waitUnseen();
    return this.#room.promise;
  }

  #hasRoom(): boolean {
    const ahead = this.#scrollback.end - this.#seen;
    return ahead <= (this.#isWatched() ? AHEAD_BYTES : SCROLLBACK_BYTES);
  }

  #isWatched(): boolean {
    return [...this.#viewers].some(({ isStalled }) => !isStalled);
  }

  /** Lets the program go on slowly while nobody takes what it prints. */
  #waitUnseen(): void {
    if (this.#roomTimer || !this.#room || this.#isWatched()) return;
    this.#roomTimer = setTimeout(() => {
      this.#roomTimer = undefined;
      this.#giveRoom();
    }, UNSEEN_EVERY_MS);
  }

  #makeRoom(): void {
    if (this.#hasRoom()) this.#giveRoom();
    else this.#waitUnseen();
  }

  #giveRoom(): void {
    clearTimeout(this.#roomTimer);
    this.#roomTimer = undefined;
    this.#room?.resolve();
    this.#room = undefined;
  }

  #onProgress(viewer: Viewer): void {
    this.#seen = Math.max(this.#seen, viewer.taken);
    this.#makeRoom();
  }

  /** Something was typed or printed, or somebody has come. */
  #active(): void {
    if (this.#end) return;
    if (this.#viewers.size > 0) this.#held ??= this.#host.hold();
    this.#idle.refresh();
  }

  #release(): void {
    this.#held?.[Symbol.dispose]();
    this.#held = undefined;
  }

  /** Nobody has looked for long, or nobody who looks has typed, and nothing was printed. */
  #onIdle(): void {
    if (this.#viewers.size === 0) this.close('idle');
    else this.#release();
  }

  #settle(end: TerminalEnd): void {
    if (this.#end) return;
    this.#end = end;
    clearTimeout(this.#idle);
    this.#input.close();
    this.#giveRoom();
    for (const viewer of this.#viewers) viewer.end(end);
    this.#release();
    this.#trim();
    this.#host.onEnd(end);
  }

  /** Keeps less of an ended terminal, once all who were there have seen its end. */
  #trim(): void {
    if (this.#end && this.#viewers.size === 0) this.#scrollback.trim(KEPT_BYTES);
  }
}

function toFailure(reason: EndReason = 'connection_lost'): TerminalEnd {
  return { exitCode: null, reason };
}

function toEnd({ status, exitCode, reset }: ExecutionEnd, reason: EndReason | undefined): TerminalEnd {
  if (reason) return { exitCode, reason };
  switch (status) {
    case 'ok':
    case 'error':
      return { exitCode, reason: 'exited' };
    case 'timeout':
      return { exitCode, reason: 'session_over' };
    case 'out_of_memory':
      return { exitCode, reason: 'out_of_memory' };
    default:
      return {
        exitCode,
        reason: reset?.reason === 'runner_lost' || reset?.reason === 'sandbox_lost' ? reset.reason : 'crashed',
      };
  }
}
