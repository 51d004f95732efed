/** One event as it is sent: its number counts from 1 within its stream. */
export interface StreamEvent {
  readonly number: number;
  readonly event: string;
  readonly data: string;
}

/** Bytes of sent events that are kept, so that a reader who comes back gets what it missed. */
const KEPT_BYTES = 256 * 1024;

/**
 * The events of one call, on their way to one reader at a time. Whoever writes waits for the reader, also for one that
 * is away. Events that were sent are kept up to a limit, the newest longest.
 */
export class EventStream {
  readonly #events: StreamEvent[] = [];
  readonly #keptBytes: number;
  #bytes = 0;
  #count = 0;
  /** Number of the last event that a reader has taken. */
  #taken = 0;
  #ended = false;
  /** Settles when something has been written, taken or ended. */
  #change = Promise.withResolvers<void>();
  #reader = 0;

  constructor(keptBytes = KEPT_BYTES) {
    this.#keptBytes = keptBytes;
  }

  get hasEnded(): boolean {
    return this.#ended;
  }

  /** Of the events that are kept. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Adds an event; settles when a reader has taken it, or when there is room to wait for one. */
  async write(event: string, data: string, signal: AbortSignal): Promise<void> {
    this.#count += 1;
    const number = this.#count;
    this.#events.push({ number, event, data });
    this.#bytes += data.length;
    this.#tell();
    while (this.#taken < number && !signal.aborted) await this.#changes(signal);
    this.#forget();
  }

  /** Adds the last event, which waits for no reader. */
  end(event: string, data: string): void {
    this.#count += 1;
    this.#events.push({ number: this.#count, event, data });
    this.#bytes += data.length;
    this.#ended = true;
    this.#tell();
  }

  /** Whether nothing comes after that one any more. */
  isAtEnd(after: number): boolean {
    return this.#ended && after >= this.#count;
  }

  /** Whether all events after that one are still to be had. */
  has(after: number): boolean {
    const first = this.#events[0]?.number ?? this.#count + 1;
    return after <= this.#count && after >= first - 1;
  }

  /** The events after that one, as they come, to the end; a later reader takes the place of this one. */
  async *read(after: number, signal: AbortSignal): AsyncGenerator<StreamEvent, void, undefined> {
    this.#reader += 1;
    const reader = this.#reader;
    this.#tell();
    for (let next = after + 1; !signal.aborted && reader === this.#reader; ) {
      // Their numbers have no gaps.
      const found = this.#events[next - (this.#events[0]?.number ?? next)];
      if (found) {
        yield found;
        this.#taken = Math.max(this.#taken, next);
        next += 1;
        this.#tell();
      } else if (this.#ended) return;
      else await this.#changes(signal);
    }
  }

  #forget(): void {
    while (this.#bytes > this.#keptBytes && (this.#events[0]?.number ?? Number.POSITIVE_INFINITY) <= this.#taken) {
      this.#bytes -= this.#events.shift()?.data.length ?? 0;
    }
  }

  #tell(): void {
    this.#change.resolve();
    this.#change = Promise.withResolvers();
  }

  async #changes(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const stop = () => resolve();
    signal.addEventListener('abort', stop, { once: true });
    await Promise.race([promise, this.#change.promise]);
    signal.removeEventListener('abort', stop);
  }
}
