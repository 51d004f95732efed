import type { Scrollback } from './scrollback.ts';

/** Most bytes that are sent to a viewer at once. */
const CHUNK = 64 * 1024;
/** Time in milliseconds after which a viewer that takes nothing is not waited for. */
const STALL_MS = 5000;

/** Rows and columns of a terminal. */
export interface TerminalSize {
  readonly rows: number;
  readonly cols: number;
}

/** Why a terminal has ended. */
export type EndReason =
  | 'exited'
  | 'closed'
  | 'idle'
  | 'hibernated'
  | 'session_closed'
  | 'session_over'
  | 'sandbox_lost'
  | 'runner_lost'
  | 'connection_lost'
  | 'crashed'
  | 'out_of_memory'
  | 'server_stopped';

export interface TerminalEnd {
  /** Exit code of its program, as a shell tells it. Null if the program did not end by itself. */
  readonly exitCode: number | null;
  readonly reason: EndReason;
}

/** What a viewer is told besides bytes. */
export type ViewerMessage =
  | {
      readonly type: 'attached';
      /** Offset of the first byte that follows. */
      readonly offset: number;
      /** Offset at which what was printed before ends, and what is printed now begins. */
      readonly live: number;
      readonly rows: number;
      readonly cols: number;
    }
  | { readonly type: 'resized'; readonly rows: number; readonly cols: number }
  /** So many bytes are left out here. */
  | { readonly type: 'skipped'; readonly bytes: number }
  | { readonly type: 'ended'; readonly exit_code: number | null; readonly reason: EndReason };

/** Where a viewer's bytes and messages go, in order. */
export interface ViewerSink {
  /** Resolves when the viewer can take more; also if it is gone. */
  send(bytes: Buffer): Promise<void>;
  /** Returns a promise, if that takes time, which resolves when the viewer can take more; also if it is gone. */
  tell(message: ViewerMessage): Promise<void> | void;
}

/** One who looks at a terminal, as fast as he can. */
export class Viewer {
  /** Offset up to which he has taken what was printed. */
  taken: number;
  /** Whether he has taken nothing for long, so that nobody waits for him. */
  isStalled = false;
  readonly #sink: ViewerSink;
  readonly #scrollback: Scrollback;
  readonly #onProgress: () => void;
  #end: TerminalEnd | undefined;
  /** Size that he has not been told. */
  #size: TerminalSize | undefined;
  #isSending = false;
  #isClosed = false;

  /** @param onProgress called when he has taken more, or takes nothing any more */
  constructor(sink: ViewerSink, scrollback: Scrollback, from: number, onProgress: () => void) {
    this.#sink = sink;
    this.#scrollback = scrollback;
    this.taken = from;
    this.#onProgress = onProgress;
  }

  tell(message: ViewerMessage): Promise<void> | void {
    return this.#isClosed ? undefined : this.#sink.tell(message);
  }

  /** Tells a new size once he can take it: the last one, if there were several. */
  resize(size: TerminalSize): void {
    this.#size = size;
    this.wake();
  }

  /** Sends what is there and has not been sent. */
  wake(): void {
    if (!this.#isSending && !this.#isClosed) void this.#sendAll();
  }

  /** Tells the end of the terminal once all has been sent. */
  end(end: TerminalEnd): void {
    this.#end = end;
    this.wake();
  }

  close(): void {
    this.#isClosed = true;
  }

  async #sendAll(): Promise<void> {
    this.#isSending = true;
    while (!this.#isClosed && (this.#size || this.taken < this.#scrollback.end)) {
      if (this.#size) {
        const { rows, cols } = this.#size;
        this.#size = undefined;
        await this.#wait(this.tell({ type: 'resized', rows, cols }));
        continue;
      }
      const { start } = this.#scrollback;
      if (this.taken < start) {
        void this.tell({ type: 'skipped', bytes: start - this.taken });
        this.taken = start;
      }
      const bytes = this.#scrollback.read(this.taken, CHUNK);
      await this.#wait(this.#sink.send(bytes));
      this.taken += bytes.length;
      this.#onProgress();
    }
    this.#isSending = false;
    if (!this.#end || this.#isClosed) return;
    void this.tell({ type: 'ended', exit_code: this.#end.exitCode, reason: this.#end.reason });
    this.close();
  }

  /** Waits until he has taken something. */
  async #wait(taken: Promise<void> | void): Promise<void> {
    const stall = setTimeout(() => {
      this.isStalled = true;
      this.#onProgress();
    }, STALL_MS);
    try {
      await taken;
    } finally {
      clearTimeout(stall);
      this.isStalled = false;
    }
  }
}
