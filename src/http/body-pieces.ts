import type { Readable } from 'node:stream';

/** Most pieces of a body that may wait to be taken. The connection is not read while there are more. */
const MOST_WAITING = 4;

/** The body of a request, piece by piece. It is received as fast as its pieces are taken. */
export interface BodyPieces {
  /** Returns the next piece if it has arrived. */
  take(): Uint8Array | undefined;
  /** Resolves with the next piece; with undefined at the end. Rejects when the connection broke. */
  next(): Promise<Uint8Array | undefined>;
  /** Receives no more. */
  cancel(): Promise<void>;
}

/** Body of a request of Node's server. Its pieces share no memory. */
export class IncomingPieces implements BodyPieces {
  readonly #incoming: Readable;
  readonly #waiting: Uint8Array[] = [];
  #arrival: PromiseWithResolvers<void> | undefined;
  /** Whether all has come, or the error that ended it. */
  #end: true | Error | undefined;

  constructor(incoming: Readable) {
    this.#incoming = incoming;
    incoming.on('data', (piece: Uint8Array) => {
      this.#waiting.push(piece);
      if (this.#waiting.length >= MOST_WAITING) incoming.pause();
      this.#wake();
    });
    incoming.on('end', () => this.#finish(true));
    incoming.on('error', (error) => this.#finish(error));
    incoming.on('close', () => this.#finish(new Error('the connection broke')));
    if (incoming.readableEnded) this.#finish(true);
    else if (incoming.destroyed) this.#finish(incoming.errored ?? new Error('the connection broke'));
  }

  take(): Uint8Array | undefined {
    const piece = this.#waiting.shift();
    if (this.#waiting.length === 0 && this.#incoming.isPaused()) this.#incoming.resume();
    return piece;
  }

  async next(): Promise<Uint8Array | undefined> {
    for (;;) {
      const piece = this.take();
      if (piece) return piece;
      if (this.#end === true) return undefined;
      if (this.#end) throw this.#end;
      this.#arrival ??= Promise.withResolvers();
      await this.#arrival.promise;
    }
  }

  async cancel(): Promise<void> {
    if (!this.#end) this.#incoming.destroy();
  }

  #finish(end: true | Error): void {
    this.#end ??= end;
    this.#wake();
  }

  #wake(): void {
    this.#arrival?.resolve();
    this.#arrival = undefined;
  }
}

/** Body of a web request, such as one that no server has received. */
export class WebPieces implements BodyPieces {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;

  constructor(reader: ReadableStreamDefaultReader<Uint8Array>) {
    this.#reader = reader;
  }

  take(): undefined {
    return undefined;
  }

  async next(): Promise<Uint8Array | undefined> {
    return (await this.#reader.read()).value;
  }

  async cancel(): Promise<void> {
    await this.#reader.cancel();
  }
}
