/** One event as it is sent. Numbers count from 1 in each stream. */
export interface StreamEvent {
  readonly number: number;
  readonly event: string;
  readonly data: string;
}

/** Size in bytes of the sent events that are kept, so that a reader that reconnects gets those it missed. */
const KEPT_BYTES = 256 * 1024;

/**
 * The events of one call, for one reader at a time. A write waits until the reader has read the event, also while no
 * reader is connected. Events that were read are kept up to a limit; the oldest are dropped first.
 */
export class EventStream {
  readonly #events: StreamEvent[] = [];
  readonly #keptBytes: number;
  #bytes = 0;
  #count = 0;
  /** Number of the last event that was read. */
  #readUpTo = 0;
  #ended = false;
  /** Resolves at the next change: an event was written or read, or the stream ended. */
  #change = Promise.withResolvers<void>();
  #reader = 0;

  constructor(keptBytes = KEPT_BYTES) {
    this.#keptBytes = keptBytes;
  }

  get hasEnded(): boolean {
    return this.#ended;
  }

  /** Size of the events that are kept, in bytes. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Adds an event. Resolves when it was read, or the signal aborts. */
  async write(event: string, data: string, signal: AbortSignal): Promise<void> {
    this.#count += 1;
    const number = this.#count;
    this.#events.push({ number, event, data });
    this.#bytes += data.length;
    this.#notify();
    while (this.#readUpTo < number && !signal.aborted) await this.#nextChange(signal);
    this.#dropOldest();
  }

  /** Adds the last event, without waiting for the reader. */
  end(event: string, data: string): void {
    this.#count += 1;
    this.#events.push({ number: this.#count, event, data });
    this.#bytes += data.length;
    this.#ended = true;
    this.#notify();
  }

  /** Whether the stream has ended, and has no event after the given number. */
  isAtEnd(after: number): boolean {
    return this.#ended && after >= this.#count;
  }

  /** Whether all events after the given number are still kept. */
  has(after: number): boolean {
    const first = this.#events[0]?.number ?? this.#count + 1;
    return after <= this.#count && after >= first - 1;
  }

  /** Yields the events after the given number until the end of the stream. A new reader ends the one before. */
  async *read(after: number, signal: AbortSignal): AsyncGenerator<StreamEvent, void, undefined> {
    this.#reader += 1;
    const reader = this.#reader;
    this.#notify();
    for (let next = after + 1; !signal.aborted && reader === this.#reader; ) {
      // The numbers have no gaps.
      const found = this.#events[next - (this.#events[0]?.number ?? next)];
      if (found) {
        yield found;
        this.#readUpTo = Math.max(this.#readUpTo, next);
        next += 1;
        this.#notify();
      } else if (this.#ended) return;
      else await this.#nextChange(signal);
    }
  }

  #dropOldest(): void {
    while (this.#bytes > this.#keptBytes && (this.#events[0]?.number ?? Number.POSITIVE_INFINITY) <= this.#readUpTo) {
      this.#bytes -= this.#events.shift()?.data.length ?? 0;
    }
  }

  #notify(): void {
    this.#change.resolve();
    this.#change = Promise.withResolvers();
  }

  async #nextChange(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const stop = () => resolve();
    signal.addEventListener('abort', stop, { once: true });
    await Promise.race([promise, this.#change.promise]);
    signal.removeEventListener('abort', stop);
  }
}
