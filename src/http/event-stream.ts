import { TextRing } from '../lib/text-ring.ts';

/** One event as it is sent. Numbers count from 1 in each stream. */
export interface StreamEvent {
  readonly number: number;
  readonly event: string;
  readonly data: string;
}

/** Size in bytes of the sent events that are kept, so that a reader that reconnects gets those it missed. */
const KEPT_BYTES = 256 * 1024;
/** Shortest data of an event, in characters, that is moved out of the heap once it was read. */
const LEAST_MOVED = 1024;

interface KeptEvent extends Pick<StreamEvent, 'number' | 'event'> {
  readonly length: number;
  data: string | (() => string);
}

/**
 * The events of one call, for one reader at a time. A write waits until the reader has read the event, also while no
 * reader is connected. Events that were read are kept up to a limit; the oldest are dropped first.
 */
export class EventStream {
  readonly #events: KeptEvent[] = [];
  /** Holds the long data of events that were read. */
  readonly #memory: TextRing;
  readonly #keptBytes: number;
  #bytes = 0;
  #count = 0;
  /** Number of the last event that was read. */
  #readUpTo = 0;
  #movedUpTo = 0;
  #ended = false;
  /** Resolves at the next change: an event was written or read, or the stream ended. */
  #change = Promise.withResolvers<void>();
  #reader = 0;

  constructor(keptBytes = KEPT_BYTES) {
    this.#keptBytes = keptBytes;
    this.#memory = new TextRing(2 * keptBytes);
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
    const number = this.#add(event, data);
    while (this.#readUpTo < number && !signal.aborted) await this.#nextChange(signal);
    this.#dropOldest();
    this.#moveRead();
  }

  /** Adds the last event, without waiting for the reader. */
  end(event: string, data: string): void {
    this.#ended = true;
    this.#add(event, data);
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
        const { number, event, data } = found;
        yield { number, event, data: typeof data === 'string' ? data : data() };
        this.#readUpTo = Math.max(this.#readUpTo, next);
        if (this.#ended) this.#moveRead();
        next += 1;
        this.#notify();
      } else if (this.#ended) return this.#memory.shrink();
      else await this.#nextChange(signal);
    }
  }

  #add(event: string, data: string): number {
    this.#count += 1;
    this.#events.push({ number: this.#count, event, data, length: data.length });
    this.#bytes += data.length;
    this.#notify();
    return this.#count;
  }

  #dropOldest(): void {
    while (this.#bytes > this.#keptBytes && (this.#events[0]?.number ?? Number.POSITIVE_INFINITY) <= this.#readUpTo) {
      const dropped = this.#events.shift();
      this.#bytes -= dropped?.length ?? 0;
      if (typeof dropped?.data === 'function') this.#memory.dropOldest();
    }
  }

  /** Moves long data that was read, in its order. */
  #moveRead(): void {
    const first = this.#events[0]?.number ?? this.#count + 1;
    for (let next = Math.max(this.#movedUpTo + 1, first); next <= this.#readUpTo; next += 1) {
      const found = this.#events[next - first];
      if (typeof found?.data === 'string' && found.length >= LEAST_MOVED)
        found.data = this.#memory.add(found.data) ?? found.data;
      this.#movedUpTo = next;
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
