import { randomBytes } from 'node:crypto';
import { GloveboxError } from '../errors.ts';
import { EventStream } from './event-stream.ts';
import { usedOtherwise } from './idempotency.ts';

/** A call whose events can be asked for again. */
export interface StreamedCall {
  readonly id: string;
  readonly owner: string;
  readonly events: EventStream;
  /** Aborts when the call is to end because nobody came back for it. */
  readonly signal: AbortSignal;
}

interface Kept extends StreamedCall {
  readonly cancel: AbortController;
  /** The idempotency key that it came with, and what it was. */
  key?: string;
  fingerprint?: string;
  /** Ends the call, or forgets it once it has ended, unless a reader comes back before. */
  timer?: NodeJS.Timeout;
  readers: number;
}

export interface EventStreamsOptions {
  /** How long a call goes on whose reader is gone: event sources come back after three seconds. */
  readonly graceMs?: number;
  /** How long the events of an ended call are kept. */
  readonly keepMs?: number;
}

const GRACE_MS = 5000;
const KEEP_MS = 60_000;
const MOST_ENDED = 200;
const MOST_ENDED_BYTES = 16 * 1024 * 1024;

/** The streams of calls over HTTP, each its owner's alone. */
export class EventStreams {
  readonly #calls = new Map<string, Kept>();
  readonly #graceMs: number;
  readonly #keepMs: number;

  constructor({ graceMs = GRACE_MS, keepMs = KEEP_MS }: EventStreamsOptions = {}) {
    this.#graceMs = graceMs;
    this.#keepMs = keepMs;
  }

  open(owner: string): StreamedCall {
    const cancel = new AbortController();
    const id = randomBytes(12).toString('base64url');
    const call: Kept = { id, owner, events: new EventStream(), cancel, signal: cancel.signal, readers: 0 };
    this.#calls.set(id, call);
    return call;
  }

  /**
   * The call that an event belongs to, and the event's number.
   * @throws GloveboxError `not_found` when events after it are gone: the program is not run again for that
   */
  resume(owner: string, lastEventId: string): { call: StreamedCall; after: number } {
    const [, id = '', digits = ''] = /^([\w-]{1,64})\.(\d{1,15})$/.exec(lastEventId) ?? [];
    const call = this.#calls.get(id);
    const after = Number(digits);
    if (call?.owner === owner && call.events.has(after)) return { call, after };
    throw new GloveboxError(
      'not_found',
      `The events after ${JSON.stringify(lastEventId.slice(0, 80))} are not kept any more.`,
      {
        hint: 'The program is not run twice. To run it again, send the call without the header Last-Event-ID.',
      },
    );
  }

  /**
   * The call of that key, begun if there is none.
   * @throws GloveboxError `invalid_input` when the key came with another call, `not_found` when its first events are gone
   */
  once(owner: string, key: string, fingerprint: string, begin: () => StreamedCall): StreamedCall {
    const known = [...this.#calls.values()].find((call) => call.owner === owner && call.key === key);
    if (!known) {
      const begun = this.#calls.get(begin().id) as Kept;
      return Object.assign(begun, { key, fingerprint });
    }
    if (known.fingerprint !== fingerprint) throw usedOtherwise(key);
    return this.resume(owner, `${known.id}.0`).call;
  }

  /** Holds a call for one reader, until disposed of. */
  hold({ id }: StreamedCall): Disposable {
    const call = this.#calls.get(id);
    if (!call) return { [Symbol.dispose]() {} };
    clearTimeout(call.timer);
    call.readers += 1;
    return {
      [Symbol.dispose]: () => {
        call.readers -= 1;
        if (call.readers === 0) this.#leave(call);
      },
    };
  }

  #leave(call: Kept): void {
    clearTimeout(call.timer);
    call.timer = setTimeout(() => this.#drop(call), call.events.hasEnded ? this.#keepMs : this.#graceMs);
    call.timer.unref();
    if (call.events.hasEnded) this.#forgetOldest();
  }

  #drop(call: Kept): void {
    call.cancel.abort();
    this.#calls.delete(call.id);
  }

  #forgetOldest(): void {
    const ended = [...this.#calls.values()].filter(({ events, readers }) => events.hasEnded && readers === 0);
    let bytes = ended.reduce((sum, { events }) => sum + events.bytes, 0);
    while (ended.length > MOST_ENDED || bytes > MOST_ENDED_BYTES) {
      const oldest = ended.shift();
      if (!oldest) return;
      bytes -= oldest.events.bytes;
      clearTimeout(oldest.timer);
      this.#drop(oldest);
    }
  }
}
