import { GloveboxError } from '../errors.ts';

/** Standard input of a streamed call, which comes as the body of another request. */
export class CallInput implements AsyncIterable<Uint8Array> {
  readonly #source = Promise.withResolvers<AsyncIterable<Uint8Array> | undefined>();
  readonly #ended = Promise.withResolvers<void>();
  #isTaken = false;

  /**
   * Takes the body of the request. Resolves when all of it was read, or when nobody reads it any more.
   * @throws GloveboxError `invalid_input` when there was another body
   */
  async take(body: AsyncIterable<Uint8Array>): Promise<void> {
    if (this.#isTaken) {
      throw new GloveboxError('invalid_input', 'The standard input of this call has come already.', {
        hint: 'Send it in one request.',
      });
    }
    this.#isTaken = true;
    this.#source.resolve(body);
    await this.#ended.promise;
  }

  /** Ends the input, because the call has ended. */
  close(): void {
    this.#source.resolve(undefined);
    this.#ended.resolve();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    try {
      const source = await this.#source.promise;
      if (source) yield* source;
    } finally {
      this.#ended.resolve();
    }
  }
}
