import { randomBytes } from 'node:crypto';
import { Violation } from './calls.ts';

const TOKEN = /tk(\d+)_(\d+)_[0-9a-f]{8}/g;

/** Texts that are of one session alone, so that whatever it is told can be seen to be its own. */
export class Tokens {
  readonly #index: number;
  #issued = 0;
  /** Those below this one were of sessions of the same name that are closed. */
  #oldest = 0;

  constructor(index: number) {
    this.#index = index;
  }

  /** A text that nothing else has. */
  issue(): string {
    this.#issued += 1;
    return `tk${this.#index}_${this.#issued}_${randomBytes(4).toString('hex')}`;
  }

  /** None of those until now may be seen again. */
  retire(): void {
    this.#oldest = this.#issued + 1;
  }

  /** @throws Violation when a text has a token of another session, or of one that is closed */
  assertOwn(text: string): void {
    for (const [token, index, number] of text.matchAll(TOKEN)) {
      if (Number(index) !== this.#index) throw new Violation(`It was told ${token}, which is another session's.`);
      if (Number(number) < this.#oldest) throw new Violation(`It was told ${token}, of a session that is closed.`);
    }
  }
}
