/** Ctrl-P and Ctrl-Q, one after the other, as in `docker exec`. */
const FIRST = 0x10;
const SECOND = 0x11;
/** Time in milliseconds after which Ctrl-P was meant for the program: in a shell it is the last command. */
const ALONE_MS = 400;

export interface KeyHandlers {
  readonly type: (data: Uint8Array) => void;
  readonly leave: () => void;
}

/** Passes keys on, but those by which a person leaves a terminal. */
export class DetachKeys {
  readonly #handlers: KeyHandlers;
  /** Runs while it is not known what Ctrl-P was meant for. */
  #waiting: NodeJS.Timeout | undefined;

  constructor(handlers: KeyHandlers) {
    this.#handlers = handlers;
  }

  take(data: Uint8Array): void {
    const keys = this.#waiting ? Buffer.concat([Buffer.of(FIRST), data]) : Buffer.from(data);
    this.stop();
    const at = keys.findIndex((key, index) => key === FIRST && keys[index + 1] === SECOND);
    if (at >= 0) {
      if (at > 0) this.#handlers.type(keys.subarray(0, at));
      this.#handlers.leave();
      return;
    }
    const isOpen = keys.at(-1) === FIRST;
    const sure = isOpen ? keys.subarray(0, -1) : keys;
    if (sure.length > 0) this.#handlers.type(sure);
    if (isOpen) this.#waiting = setTimeout(() => this.#typeFirst(), ALONE_MS);
  }

  /** Waits no longer. */
  stop(): void {
    clearTimeout(this.#waiting);
    this.#waiting = undefined;
  }

  #typeFirst(): void {
    this.#waiting = undefined;
    this.#handlers.type(Buffer.of(FIRST));
  }
}
