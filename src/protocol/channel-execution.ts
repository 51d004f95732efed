import type { Report } from '../execution/report.ts';
import type { OutputSink, OutputStream, ProgramUsage } from '../execution/request.ts';
import type { Keep } from '../lib/reused-memory.ts';
import { FrameType, INITIAL_CREDIT } from './frames.ts';
import { type SendFrame, StdinStream } from './stdin-stream.ts';

/** Bytes of output to take before granting new credit. This needs fewer frames than a grant for each chunk. */
const GRANT_BYTES = INITIAL_CREDIT / 4;

/** Execution on a channel, as seen by the control plane. */
export class ChannelExecution {
  /** Resolves with the runner's report; with undefined if the channel closes first. */
  readonly ended: Promise<Report | undefined>;
  /** Standard input of the program, if it is streamed. */
  readonly input: StdinStream;
  readonly #sink: OutputSink;
  readonly #send: SendFrame;
  #end: (report: Report | undefined) => void = () => {};
  #credit = INITIAL_CREDIT;
  #consumed = 0;
  /** Number of bytes that the sink has not processed yet. */
  #held = 0;
  #waiting = true;
  #released: () => void = () => {};
  /** The question of the moment, what it has used. */
  #asked: PromiseWithResolvers<ProgramUsage | undefined> | undefined;

  /** @param granted bytes of standard input that the runner accepts without a grant */
  constructor(sink: OutputSink, send: SendFrame, granted = 0) {
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

  /** Sends a signal to the program. Only for runners that take signals. */
  signal(number: number): void {
    this.#send(FrameType.stop, Buffer.from([0x73, number]));
  }

  /** Asks what it has used so far. Undefined once it has ended. Only for runners that tell it. */
  usage(): Promise<ProgramUsage | undefined> {
    if (!this.#asked) {
      this.#asked = Promise.withResolvers();
      this.#send(FrameType.ask, Buffer.alloc(0));
    }
    return Promise.race([this.#asked.promise, this.ended.then(() => undefined)]);
  }

  /** Takes what it has used. @throws Error if nobody has asked */
  takeUsage(usage: ProgramUsage): void {
    if (!this.#asked) throw new Error('an answer that nobody has asked for');
    this.#asked.resolve(usage);
    this.#asked = undefined;
  }

  kill(): void {
    this.#send(FrameType.stop, Buffer.from('k'));
  }

  /** Whether the sink has processed all output received so far. */
  get isDelivered(): boolean {
    return this.#held === 0;
  }

  /** Resolves when the sink has processed all output received so far. */
  delivered(): Promise<void> {
    if (this.#held === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#released = resolve;
    });
  }

  /** Grants credit at once from now on, so that a slow sink does not delay the program. */
  stopWaiting(): void {
    this.#waiting = false;
    this.#release(this.#held);
  }

  /** Takes output. @throws Error when the stream sends more than it was granted */
  take(stream: OutputStream, chunk: Buffer, keep: Keep): void {
    this.#credit -= chunk.length;
    if (this.#credit < 0) throw new Error('output beyond its credit');
    this.#held += chunk.length;
    const pressure = this.#sink(stream, chunk, keep);
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

  /** Records that the channel has closed, so that no report comes any more. */
  abandon(): void {
    this.input.close();
    this.#end(undefined);
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
