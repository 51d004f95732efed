import type { WebSocket } from 'ws';
import { Pace } from '../../lib/pace.ts';

/** Text messages, pings and pongs that a viewer may send at once, and each second in the long run. */
const LIMITS = { burst: 200, perSecond: 100 };
/** Longest time in milliseconds for which one is not read: its connection has to be asked now and then. */
const LONGEST_MS = 5000;
/** Bytes that may wait for a viewer before its pings are no longer answered: it may take no answers at all. */
const MOST_UNSENT = 64 * 1024;

/** The part of a WebSocket that is slowed down. */
export type PacedSocket = Pick<WebSocket, 'bufferedAmount' | 'pause' | 'pong' | 'resume'> & {
  on(event: 'ping' | 'pong', listener: (data: Buffer) => void): unknown;
  on(event: 'close', listener: () => void): unknown;
};

/**
 * Reads a viewer more slowly who sends control messages without end, or types faster than the program reads. Answers
 * pings: by itself, `ws` would keep any number of answers that a viewer does not take.
 */
export class ControlPace {
  readonly #socket: PacedSocket;
  readonly #pace = new Pace(LIMITS);
  /** Number of reasons for which it is not read at the moment. */
  #holds = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(socket: PacedSocket) {
    this.#socket = socket;
    socket.on('ping', (data) => {
      this.count();
      if (socket.bufferedAmount < MOST_UNSENT) socket.pong(data);
    });
    socket.on('pong', () => this.count());
    socket.on('close', () => clearTimeout(this.#timer));
  }

  /** Counts a control message. */
  count(): void {
    const waitMs = this.#pace.take('');
    if (waitMs === 0 || this.#timer) return;
    const goOn = this.hold();
    this.#timer = setTimeout(
      () => {
        this.#timer = undefined;
        goOn();
      },
      Math.min(waitMs, LONGEST_MS),
    );
  }

  /** Reads no more until the returned function is called. */
  hold(): () => void {
    this.#holds += 1;
    if (this.#holds === 1) this.#socket.pause();
    return () => {
      this.#holds -= 1;
      if (this.#holds === 0) this.#socket.resume();
    };
  }
}
