import type { Report } from '../execution/report.ts';
import type { OutputSink, OutputStream } from '../execution/request.ts';
import { FrameType, INITIAL_CREDIT } from './frames.ts';
import { StdinStream } from './stdin-stream.ts';

/** Output taken before credit for it is granted anew: fewer frames than one grant for each chunk. */
const GRANT_BYTES = INITIAL_CREDIT / 4;

/** One execution's end of the channel. */
export class ChannelExecution {
  /** The runner's report, as soon as it comes. Never settles if the channel closes first. */
  readonly ended: Promise<Report>;
  /** The program's standard input, if that is streamed. */
  readonly input: StdinStream;
  readonly #sink: OutputSink;
  readonly #send: (type: number, payload: Buffer) => void;
  #end: (report: Report) => void = () => {};
  #credit = INITIAL_CREDIT;
  #consumed = 0;
  /** Bytes that a slow sink still holds. */
  #held = 0;
  #waiting = true;
  #released: () => void = () => {};

  /** @param granted bytes of standard input that the runner takes unasked */
  constructor(sink: OutputSink, send: (type: number, payload: Buffer) => void, granted = 0) {
    this.#sink = sink;
    this.#send = send;
    this.input = new StdinStream(send, granted);
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  interrupt(): void {
    this.#send(FrameType.stop, Buffer.from('i'));
  }

  kill(): void {
    this.#send(FrameType.stop, Buffer.from('k'));
  }

  /** Settles when the sink has let go of all output that has come. */
  delivered(): Promise<void> {
    if (this.#held === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#released = resolve;
    });
  }

  /** From now on the sink may be as slow as it likes: it holds nobody back. */
  stopWaiting(): void {
    this.#waiting = false;
    this.#release(this.#held);
  }

  /** @throws Error when the stream sends more than it was granted. */
  take(stream: OutputStream, chunk: Buffer): void {
    this.#credit -= chunk.length;
    if (this.#credit < 0) throw new Error('output beyond its credit');
    this.#held += chunk.length;
    const pressure = this.#sink(stream, chunk);
    if (!pressure || !this.#waiting) {
      this.#release(chunk.length);
      return;
    }
    const release = () => {
      if (this.#waiting) this.#release(chunk.length);
    };
    void pressure.then(release, release);
  }

  end(report: Report): void {
    this.input.close();
    this.#end(report);
  }

  #release(bytes: number): void {
    this.#held -= bytes;
    if (this.#held === 0) this.#released();
    this.#consumed += bytes;
    if (this.#consumed < GRANT_BYTES) return;
    const grant = Buffer.allocUnsafe(4);
    grant.writeUInt32BE(this.#consumed);
    this.#credit += this.#consumed;
    this.#consumed = 0;
    this.#send(FrameType.credit, grant);
  }
}
