/** Something of ours that reads what strangers send, and what must hold whatever that is. */
export interface Target {
  readonly name: string;
  /** Longest input, in bytes. */
  readonly longest: number;
  /** Pieces of the format, which mutations put into inputs. */
  readonly words: readonly (string | Buffer)[];
  /** Makes a mutated input valid where chance would not, such as its checksums and lengths. */
  repair?(input: Buffer): Buffer;
  /** Reads an input. Everything that it throws is a finding. */
  run(input: Buffer): void | Promise<void>;
}

/** Cuts bytes into pieces whose lengths they give themselves, so that an input repeats its cuts. */
export function* cut(input: Buffer): Generator<Buffer, void, undefined> {
  for (let at = 0, seed = input.length; at < input.length; ) {
    seed = (Math.imul(seed, 31) + (input[at] ?? 0)) >>> 0;
    const length = [1, 2, 7, 9, 64, 511, 512, 4096][seed & 7] ?? 1;
    yield input.subarray(at, at + length);
    at += length;
  }
}

/** The same as a stream. */
export async function* stream(pieces: Iterable<Buffer>): AsyncGenerator<Buffer, void, undefined> {
  yield* pieces;
}
