import { Transform, type TransformCallback } from 'node:stream';
import type { Removal, Scrubber, Scrubbing } from './scrubber.ts';

/** Removes secrets from a stream of bytes. */
export class ScrubStream extends Transform {
  readonly #scrubbing: Scrubbing;

  constructor(scrubber: Scrubber, removal: Removal) {
    super();
    this.#scrubbing = scrubber.begin(removal);
  }

  override _transform(piece: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    for (const clean of this.#scrubbing.push(piece)) this.push(clean);
    done();
  }

  override _flush(done: TransformCallback): void {
    for (const clean of this.#scrubbing.end()) this.push(clean);
    done();
  }
}
