import { randomBytes } from 'node:crypto';
import { GloveboxError } from '../errors.ts';
import { CallInput } from './call-input.ts';
import { EventStream } from './event-stream.ts';
import { keyReused } from './idempotency.ts';

/** A call whose events can be requested again. */
export interface StreamedCall {
  readonly id: string;
  readonly owner: string;
  readonly events: EventStream;
  /** Aborts when the call must end because no reader came back. */
  readonly signal: AbortSignal;
  /** Whether it was given up before it began. */
  readonly isGivenUp?: boolean;
  /** Its standard input, if `PUT /execute/stream/stdin` sends that. */
  readonly input?: CallInput;
}

interface KeptCall extends StreamedCall {
  isGivenUp?: boolean;
  readonly cancel: AbortController;
  /** Idempotency key of the call. */
  key?: string;
  /** Hash of the call's content. */
  fingerprint?: string;
  /** Timer that cancels the call, or drops its events once it has ended, unless a reader comes back. */
  timer?: NodeJS.Timeout;
  readers: number;
}

export interface EventStreamsOptions {
  /** Time in milliseconds for which a call runs on without a reader. Browsers reconnect after about three seconds. */
  readonly graceMs?: number;
  /** Time in milliseconds for which the events of an ended call are kept. */
  readonly keepMs?: number;
  /** Makes ids tell where their calls are, where there are several servers. */
  readonly mark?: ((id: string) => string) | undefined;
}

const GRACE_MS = 5000;
const KEEP_MS = 60_000;
/** Ended calls whose events are kept. */
const MOST_ENDED = 200;
/** Size of the events of all ended calls, in bytes. */
const MOST_ENDED_BYTES = 16 * 1024 * 1024;

/** Event streams of calls over HTTP. Each is visible to its owner only. */
export class EventStreams {
  readonly #calls = new Map<string, KeptCall>();
  readonly #graceMs: number;
  readonly #keepMs: number;

  readonly #mark: (id: string) => string;

  constructor({ graceMs = GRACE_MS, keepMs = KEEP_MS, mark = (id) => id }: EventStreamsOptions = {}) {
    this.#mark = mark;
    this.#graceMs = graceMs;
    this.#keepMs = keepMs;
  }

  open(owner: string, takesInput = false): StreamedCall {
    const cancel = new AbortController();
    const id = this.#mark(randomBytes(12).toString('base64url'));
    const input = takesInput ? { input: new CallInput() } : {};
    const call: KeptCall = {
      id,
      owner,
      events: new EventStream(),
      cancel,
      signal: cancel.signal,
      ...input,
      readers: 0,
    };
    this.#calls.set(id, call);
    return call;
  }

  /**
   * Finds the call and the number of an event.
   * @throws GloveboxError `not_found` when the events after it are no longer kept; the code is not run again
   */
  resume(owner: string, lastEventId: string): { call: StreamedCall; after: number } {
    const [, id = '', digits = ''] = /^([\w~-]{1,64})\.(\d{1,15})$/.exec(lastEventId) ?? [];
    const call = this.#calls.get(id);
    const after = Number(digits);
    if (call?.owner === owner && call.events.has(after)) return { call, after };
    throw new GloveboxError(
      'not_found',
      `The events after ${JSON.stringify(lastEventId.slice(0, 80))} are no longer kept.`,
      {
        hint: 'The code was not run again. To run it again, send the call without the header Last-Event-ID.',
      },
    );
  }

  /** Whether there is a call with this idempotency key. */
  has(owner: string, key: string): boolean {
    return this.#find(owner, key) !== undefined;
  }

  /**
   * Finds the call with an idempotency key, or starts it if there is none.
   * @throws GloveboxError `invalid_input` when the key was used for another call, `not_found` when the first events of
   *   the call are no longer kept
   */
  once(owner: string, key: string, fingerprint: string, begin: () => StreamedCall): StreamedCall {
    const known = this.#find(owner, key);
    if (!known) {
      const begun = this.#calls.get(begin().id) as KeptCall;
      return Object.assign(begun, { key, fingerprint });
    }
    if (known.fingerprint !== fingerprint) throw keyReused(key);
    return this.resume(owner, `${known.id}.0`).call;
  }

  /**
   * Cancels the call with an idempotency key. Its events go on to its result.
   * @throws GloveboxError `invalid_input` without a key, `not_found` when there is no such call
   */
  cancel(owner: string, key: string | undefined): void {
    this.#get(owner, key, 'that is to be cancelled').cancel.abort();
  }

  /** Returns the standard input of the call with an idempotency key. @throws GloveboxError as `cancel` does */
  inputOf(owner: string, key: string | undefined): CallInput {
    const which = 'with ?stdin=1';
    const { input } = this.#get(owner, key, which);
    if (input) return input;
    throw new GloveboxError('invalid_input', 'This call has no standard input that is streamed.', {
      hint: hintFor(which),
    });
  }

  /** Lets the next attempt of a call begin, because nothing of this one was. Its readers still get its end. */
  giveUp({ id }: StreamedCall): void {
    const call = this.#calls.get(id);
    if (!call) return;
    call.isGivenUp = true;
    delete call.key;
  }

  #get(owner: string, key: string | undefined, which: string): KeptCall {
    const hint = hintFor(which);
    if (key === undefined) throw new GloveboxError('invalid_input', 'The request has no Idempotency-Key.', { hint });
    const call = this.#find(owner, key);
    if (!call) throw new GloveboxError('not_found', 'There is no call with this Idempotency-Key.', { hint });
    return call;
  }

  #find(owner: string, key: string): KeptCall | undefined {
    return [...this.#calls.values()].find((call) => call.owner === owner && call.key === key);
  }

  /** Counts a reader of a call, until the result is disposed of. */
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

  #leave(call: KeptCall): void {
    clearTimeout(call.timer);
    call.timer = setTimeout(() => this.#drop(call), call.events.hasEnded ? this.#keepMs : this.#graceMs);
    call.timer.unref();
    if (call.events.hasEnded) this.#dropOldest();
  }

  #drop(call: KeptCall): void {
    call.cancel.abort();
    this.#calls.delete(call.id);
  }

  #dropOldest(): void {
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

/** @param which which call is meant */
function hintFor(which: string): string {
  return `Send the header Idempotency-Key of the POST /execute/stream ${which}.`;
}
